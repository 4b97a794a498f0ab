"""The tensors of a network around its core: kept beside the core's graph, and put back into the user's network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, fx, nn

from eagleeye.channels.core import core_of, with_core
from eagleeye.errors import ArtifactError
from eagleeye.forward.wrappers import unwrapped

REST = "rest/"
"""What the names of these tensors begin with in a file: no module's name holds a slash."""


def graph_of(network: nn.Module, core: str) -> fx.GraphModule:
    """The graph in a network that `prune` made.

    Args:
        network: The network, wrapped or not.
        core: The name of its core; empty: it is a graph itself.

    Raises:
        ArtifactError: There is something else.
    """
    graph = core_of(network, core)
    if isinstance(graph, fx.GraphModule):
        return graph
    if core:
        raise ArtifactError(f"core {core!r} is a {type(graph).__name__}; only what prune() put there can be saved")
    raise ArtifactError(
        f"network {type(graph).__name__}: only networks that prune() made can be saved; prune with rate 0 for all"
        " groups to save an unpruned one, and name the core if it has one"
    )


def rest_of(network: nn.Module, core: str) -> dict[str, Tensor]:
    """The parameters and buffers of a network that are not its core's, by name.

    Args:
        network: The network.
        core: The name of its core; empty: nothing is left.
    """
    if not core:
        return {}
    inside = {id(tensor) for tensor in core_of(network, core).state_dict(keep_vars=True).values()}
    found = unwrapped(network).state_dict(keep_vars=True).items()
    return {name: tensor for name, tensor in found if isinstance(tensor, Tensor) and id(tensor) not in inside}


def put_into(network: nn.Module, core: str, graph: fx.GraphModule, rest: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a network with a core and tensors from a file.

    Args:
        network: Built by the code that built the one that was pruned; left untouched.
        core: The name of its core.
        graph: What takes the core's place.
        rest: What the network holds around it, by name.

    Returns:
        The copy, on the network's device, in evaluation mode.

    Raises:
        ModelError: The network has no such core.
        ArtifactError: The tensors are not the network's.
    """
    whole = with_core(network, core, graph)
    own = rest_of(whole, core)
    for name in sorted({*own, *rest}):
        shapes = [tuple(each[name].shape) if name in each else None for each in (own, rest)]
        if shapes[0] != shapes[1]:
            raise ArtifactError(
                f"tensor '{name}': network {type(whole).__name__} has {_shape(shapes[0])}, the file has"
                f" {_shape(shapes[1])}; build it as the one that was pruned"
            )
    device = next((tensor.device for tensor in own.values()), None)
    for name, tensor in own.items():
        tensor.data = rest[name].to(tensor.device)
    return (whole if device is None else whole.to(device)).eval()


def _shape(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else str(shape)
