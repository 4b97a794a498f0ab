"""Trace a network into its search space."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from eagleeye.channels import tensor_rules as rules
from eagleeye.channels.aliases import WRITTEN, Aliases
from eagleeye.channels.core import core_call, core_of
from eagleeye.channels.deviation import LINE, PLACE
from eagleeye.channels.groups import Grouping, gather
from eagleeye.channels.left_out import left_out
from eagleeye.channels.macs import mac_calls
from eagleeye.channels.plain import check_same, plain
from eagleeye.channels.probes import Inputs as Probe
from eagleeye.channels.propagate import Labelled, place_of, propagate, tie_parts
from eagleeye.channels.rewrite import Plan, plan_steps
from eagleeye.channels.selfcheck import verify
from eagleeye.channels.space import Space
from eagleeye.channels.steps import Step
from eagleeye.channels.ties import Axis
from eagleeye.channels.tracer import VALUE, record
from eagleeye.errors import ConfigError, TraceError
from eagleeye.forward.inputs import Call, Inputs
from eagleeye.forward.wrappers import unwrapped
from eagleeye.saving.architecture import unstorable


def trace(
    model: nn.Module,
    example_input: Inputs,
    exclude: Iterable[str] = (),
    core: str = "",
    equal_parts: bool = False,
) -> Space:
    """Trace a network once into an ordered list of prunable groups.

    Channel ids are followed through the recorded forward pass: where two tensors are added their channels are
    tied, where they are concatenated, sliced, padded or shuffled the ids move along. An operation without a rule
    keeps all channels it touches, and `Space.left_out` says so. Branches on shapes or on `self.training` are followed
    as the example in evaluation mode takes them: auxiliary heads for training are no part of the pruned network. What a
    network keeps for the size of its last call (a detector's anchors) is recorded as it is made anew for others. Where
    a pruned network could not be saved, a warning says so at once, and `Space.unstorable` why.

    Args:
        model: A network whose control flow does not depend on the values in its tensors, wrapped (DataParallel,
            AveragedModel, compiled) or not. Left as it was. Weights that it computes with `torch.nn.utils` (weight
            norm, spectral norm, masks, parametrisations) are taken as what evaluation mode computes.
        example_input: What the network takes: a tensor (N, C, H, W); a tuple of positional arguments; a dict of keyword
            arguments where `forward` takes these; anything else is its one argument, as is `d` in `(d,)`. Arguments may
            be dicts, lists, tuples, named tuples and dataclasses of tensors and numbers; how they are built is part of
            what is recorded. Its size is the one MACs are counted for.
        exclude: Patterns (as in `fnmatch`) of layers whose filters must stay, e.g. `"layer4.*"`; a function goes by
            the name of its weight.
        core: The name of the module to trace and prune, e.g. `"backbone"`, where the whole network cannot be followed;
            empty: the network itself. It is traced with what reaches it when the network is run on the example. Its
            outputs keep their channels. Names in the space are relative to it, costs are its own.
        equal_parts: Whether the parts that a tensor is split into (`chunk`) lose the same channels, so that the
            network's own code goes on with whatever is chosen (`prune(…, inplace=True)`); otherwise each loses its own.

    Returns:
        The search space: groups, costs, and how to cut every tensor.

    Raises:
        TraceError: The network cannot be traced, what was recorded computes something else than the network itself on
            the example, another batch, another size or with layers in training mode, or nothing can be pruned.
        ConfigError: A pattern matches no convolution.
        ModelError: There is no such core, or a forward pass does not call it exactly once.

    Example:
        >>> network = build("cifar_resnet20", num_classes=10)
        >>> space = eagleeye.trace(network, torch.zeros(1, 3, 32, 32))
        >>> space.channels
        (16, 16, 16, 16, 32, 16, 32, 32, 64, 32, 64, 64)
        >>> space.full_cost
        Cost(macs=40551040, params=269722)
    """
    inputs = core_call(model, core, example_input)
    if not inputs.tensors:
        raise TraceError(
            f"example_input: a {type(example_input).__name__} without a tensor; give what the network takes"
        )
    own = unwrapped(core_of(model, core))
    model = plain(own)
    wanted = _Wanted(tuple(exclude), equal_parts)
    space = _followed(model, record(model, inputs), inputs, wanted)
    if model is not own:
        check_same(own, model, inputs.on)
    stuck = verify(model, space, inputs)
    if stuck is not None:
        space = _free_of_former_calls(model, inputs, wanted, stuck) or space
    if space.unstorable:
        warnings.warn(
            f"network {type(model).__name__}: it can be searched, but eagleeye.save() will refuse it:"
            f" {space.unstorable[0]} (all reasons: space.unstorable)",
            stacklevel=2,
        )
    return replace(space, core=core)


class _Wanted(NamedTuple):
    exclude: tuple[str, ...]
    equal_parts: bool


def _followed(model: nn.Module, graph: fx.Graph, inputs: Call, wanted: _Wanted) -> Space:
    net = propagate(model, graph, wanted.exclude)
    _check_patterns(net, wanted.exclude)
    if wanted.equal_parts:
        tie_parts(net)
    plan = plan_steps(net)
    axes = {key: replace(axis, ids=net.ties.roots(axis.ids)) for key, axis in net.ties.axes.items()}
    grouping = gather(net.ties, axes, plan)
    staying = left_out(net, axes, grouping)
    if not grouping.groups:
        raise TraceError(
            f"network {type(model).__name__}: no convolution's filters can be removed:"
            f" {'; '.join(staying) or 'it has no convolution'}"
        )
    return _assemble(net, plan, tuple(axes.values()), grouping, staying, inputs)


def _free_of_former_calls(model: nn.Module, inputs: Call, wanted: _Wanted, size: Probe) -> Space | None:
    """The space recorded behind a call with another size: what the network kept for the example's is then out of date.

    Anchors of a detector, for instance, which it makes anew when the size changes. None where that does not help.
    """
    try:
        space = _followed(model, record(model, inputs, after=inputs.with_tensors(size)), inputs, wanted)
        return space if verify(model, space, inputs) is None else None
    except TraceError:  # the first recording is right for the size that it was made with
        return None


def _check_patterns(net: Labelled, patterns: tuple[str, ...]) -> None:
    names = [axis.tensor.removesuffix(".weight") for axis in net.ties.axes.values() if axis.role == "filter"]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"exclude pattern '{pattern}' matches no convolution; the network's convolutions are"
                f" {', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
            )


def _assemble(
    net: Labelled, plan: Plan, axes: tuple[Axis, ...], grouping: Grouping, staying: tuple[str, ...], example: Call
) -> Space:
    graph, steps = _rewritten(net, plan)
    unsaved = _unstorable(net, graph, steps)
    for node in graph.nodes:
        node.meta = {key: node.meta[key] for key in (PLACE, LINE) if key in node.meta}
    shapes, parameters = _tensors_in(net, graph)
    prunable = {int(root) for ids in grouping.ids for root in ids}
    return Space(
        groups=grouping.groups,
        left_out=staying,
        ids=grouping.ids,
        axes=tuple(axis for axis in axes if axis.tensor in shapes and prunable & set(axis.ids.tolist())),
        shapes=shapes,
        parameters=parameters,
        mac_calls=tuple(mac_calls(net.graph, net.layers, net.functions)),
        graph=graph,
        steps=steps,
        lifted=net.lifted,
        constants=net.constants,
        id_count=net.ties.count,
        unstorable=unsaved,
        example=example,
    )


def _rewritten(net: Labelled, plan: Plan) -> tuple[fx.Graph, dict[str, Step]]:
    """The graph with the plan's steps as calls of modules, without what nothing reads any more."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    steps: dict[str, Step] = {}
    aliases = Aliases(net.graph)
    for node in net.graph.nodes:
        if node in plan:
            name = f"step_{node.name}"
            steps[name] = plan[node].step
            copies[node] = graph.call_module(name, (copies[plan[node].source],))
        elif node.target is not torch._assert:
            copies[node] = graph.node_copy(node, lambda source: copies[source])
        if _enters(node) and isinstance(node.meta[VALUE], Tensor) and aliases.written(node):
            # Images belong to whoever gives them: they serve other candidates, too.
            copies[node] = graph.call_method("clone", (copies[node],))
    for node, copy in copies.items():
        copy.meta |= {PLACE: place_of(node), LINE: node.meta.get(LINE, "")}
    for node in reversed(graph.nodes):
        if not node.users and _only_moves(node):
            graph.erase_node(node)
    graph.lint()
    return graph, steps


def _enters(node: fx.Node) -> bool:
    """Whether a value is an input of the network, or a part of one that is a structure."""
    if node.op == "placeholder":
        return True
    source = node.args[0] if node.target in (operator.getitem, getattr) else None
    return isinstance(source, fx.Node) and not isinstance(source.meta[VALUE], Tensor) and _enters(source)


def _unstorable(net: Labelled, graph: fx.Graph, steps: dict[str, Step]) -> tuple[str, ...]:
    everything = np.ones(net.ties.count, dtype=bool)
    return unstorable(
        graph,
        layer=lambda name: steps[name].build(everything) if name in steps else net.layers[name],
        place=lambda node: f"{place_of(node)}{node.meta.get('line', '')}",
    )


def _only_moves(node: fx.Node) -> bool:
    """Whether a node has no effect beside its result: what writes in place stays even if its result is unread."""
    if node.meta.get(WRITTEN):
        return False
    if node.op not in ("call_function", "call_method", "call_module", "get_attr"):
        return False
    if not isinstance(node.meta.get(VALUE), Tensor):
        return node.op != "call_module"
    return node.target in rules.MOVING or node.op == "get_attr"


def _tensors_in(net: Labelled, graph: fx.Graph) -> tuple[dict[str, torch.Size], frozenset[str]]:
    """Shapes of the tensors that the graph uses, a shared one under its first name."""
    shapes: dict[str, torch.Size] = {}
    parameters: set[str] = set()
    seen: set[int] = set()
    for node in graph.nodes:
        for name, tensor in _tensors_of(net, node):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                parameters |= {name} if isinstance(tensor, nn.Parameter) else set()
            shapes[name] = tensor.shape
    return shapes, frozenset(parameters)


def _tensors_of(net: Labelled, node: fx.Node) -> list[tuple[str, Tensor]]:
    target = str(node.target)
    if node.op == "get_attr" and target not in net.constants:
        value = operator.attrgetter(target)(net.root)
        return [(target, value)] if isinstance(value, Tensor) else []
    if node.op != "call_module" or target.startswith("step_"):
        return []
    layer = net.layer(node)
    named = [*layer.named_parameters(remove_duplicate=False), *layer.named_buffers(remove_duplicate=False)]
    own = net.lifted[target].tensors if target in net.lifted else dict(named)
    return [(f"{target}.{name}", tensor) for name, tensor in named if name in own]
