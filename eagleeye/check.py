"""The criterion of a correct pruning: the thin network equals the masked full one."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from eagleeye.channels.core import apart, core_inputs
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Rates, Space
from eagleeye.channels.ties import Axis
from eagleeye.channels.untouched import copied
from eagleeye.forward.inputs import Inputs
from eagleeye.forward.running import run
from eagleeye.forward.structures import mapped, tensors
from eagleeye.importance import Criterion, l1_norm
from eagleeye.prune import choose
from eagleeye.strategies import Strategy
from eagleeye.thin import build_thin


def check(
    model: nn.Module,
    space: Space,
    strategy: Strategy | Rates,
    example_input: Inputs,
    *,
    criterion: Criterion = l1_norm,
) -> float:
    """Largest relative difference between a thin network and the full one whose consumers ignore what was removed.

    In a copy of the full network, run as the user wrote it, every consumer's weights for removed channels are set
    to zero; layer and group norms look at the remaining channels alone. Both networks run in float64 and evaluation
    mode, so anything above rounding is a wrong cut.

    Args:
        model: The full network, left untouched.
        space: Its search space.
        strategy: A strategy, or one rate per group.
        example_input: What the network takes, as in `trace`.
        criterion: Importance of every group's channels, as `prune` takes it.

    Returns:
        `max |thin - masked| / max |masked|` over all outputs; where the space has a core, over the core's.

    Example:
        >>> eagleeye.check(network, space, [0.5] * len(space.groups), torch.rand(1, 3, 32, 32)) < 1e-12
        True
    """
    example_input = core_inputs(model, space.core, example_input)
    model, space = apart(model, space)
    full = copied(plain(model)).double().eval()
    widths = strategy.widths if isinstance(strategy, Strategy) else space.widths_of(strategy)
    chosen = choose(model, space, widths, criterion)
    kept = space.kept(chosen)
    thin = build_thin(full, space, chosen)
    with torch.no_grad():
        outputs = tensors(run(thin, mapped(example_input, Tensor.clone)))
        norms = {}
        for axis in space.axes:
            stays = torch.from_numpy(kept[axis.ids])
            if axis.role == "in":
                _ignore(full, space, axis, stays)
            elif axis.role == "norm" and axis.tensor.endswith("weight"):
                norms[id(_tensor(full, axis.tensor))] = (axis.axis, stays)
        with NormalisedOverKept(norms):
            masked = tensors(run(full, mapped(example_input, Tensor.clone)))
    return max(relative_difference(a, b) for a, b in zip(outputs, masked, strict=True))


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Largest |found - expected|, as a share of the largest |expected|."""
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-300))


def _ignore(full: nn.Module, space: Space, axis: Axis, stays: Tensor) -> None:
    """Make a consumer ignore the channels that go: by its weights, or by its input where weights are computed."""
    owner = axis.tensor.rpartition(".")[0]
    if owner not in space.lifted or "weight" not in space.lifted[owner].computed:
        _tensor(full, axis.tensor).transpose(0, axis.axis)[~stays] = 0
        return
    groups = space.lifted[owner].settings.get("groups", 1)
    per_channel = stays.repeat(groups).reshape(-1, *[1] * (_tensor(full, axis.tensor).dim() - 2))

    def mask(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0] * per_channel, *inputs[1:])

    full.get_submodule(owner).register_forward_pre_hook(mask)


class NormalisedOverKept(TorchFunctionMode):
    """Layer norms and group norms look at the channels that stay alone.

    For each weight of a normalisation, by its `id`: the axis that carries channels, and which of them stay.
    """

    def __init__(self, norms: dict[int, tuple[int, Tensor]]) -> None:
        super().__init__()
        self._norms = norms

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        weight = kwargs.get("weight", args[2] if len(args) > 2 else None)
        if func not in (F.layer_norm, F.group_norm) or id(weight) not in self._norms:
            return func(*args, **kwargs)
        x = args[0]
        bias = kwargs.get("bias", args[3] if len(args) > 3 else None)
        eps = kwargs.get("eps", args[4] if len(args) > 4 else 1e-5)
        axis, stays = self._norms[id(weight)]
        if func is F.layer_norm:
            axes = tuple(range(x.dim() - weight.dim(), x.dim()))
            kept = stays.reshape([-1 if at == axes[axis] else 1 for at in range(x.dim())])
            return _affine(_normalised(x, axes, kept, eps), weight, bias)
        groups = int(kwargs.get("num_groups", args[1]))
        parts = x.reshape(len(x), groups, -1, *x.shape[2:])
        kept = stays.reshape(1, groups, -1, *[1] * (x.dim() - 2))
        whole = _normalised(parts, tuple(range(2, parts.dim())), kept, eps).reshape(x.shape)
        return _affine(whole, *(t.reshape(-1, *[1] * (x.dim() - 2)) for t in (weight, bias)))


def _normalised(x: Tensor, axes: tuple[int, ...], kept: Tensor, eps: float) -> Tensor:
    """Mean and variance by their definition over `axes`, of the positions that are `kept`."""
    kept = kept.to(x)
    count = kept.expand(x.shape).sum(axes, keepdim=True).clamp_min(1)
    centred = (x - (x * kept).sum(axes, keepdim=True) / count) * kept
    return centred / ((centred**2).sum(axes, keepdim=True) / count + eps).sqrt()


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x * weight if bias is None else x * weight + bias


def _tensor(model: nn.Module, name: str) -> Tensor:
    # Frozen layers may hold their weights as buffers.
    found: Tensor = operator.attrgetter(name)(model)
    return found
