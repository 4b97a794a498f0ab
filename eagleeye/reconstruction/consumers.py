"""The layers that read channels, and which of their input features stand for which channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, fx, nn

from eagleeye.channels.space import Space
from eagleeye.channels.ties import FIXED, Axis, Ids
from eagleeye.stored.names import attribute
from eagleeye.torch_layers import BatchNorm, ConvNd


@dataclass(frozen=True, eq=False)
class Block:
    """Input channels of a layer that occur equally often among its features.

    Behind a flattened map every channel stands for as many features as the map has pixels. They count like the
    positions of a convolution's kernel: what takes over a channel does so with the same share at each of them.
    """

    ids: Ids
    """Channel ids, shape (channels,); `FIXED` for those that always stay."""
    places: npt.NDArray[np.int64]
    """Their features, shape (channels, features per channel)."""


@dataclass(frozen=True, eq=False)
class Consumer:
    """A layer that multiplies its input channels with weights, so that some can take over what others did."""

    layer: str
    """Its name in pruned networks."""
    tensor: str
    """Its weight's name in the user's network."""
    axis: int
    """The axis of its weight that holds the input channels."""
    groups: int
    """Parts of the layer with inputs and outputs of their own; all of them lose the same ones."""
    spatial: int
    """Axes of its input behind that of the features."""
    blocks: tuple[Block, ...]
    has_bias: bool
    centred: bool
    """Whether something takes over means: its bias, or the batch normalisation behind it."""

    @property
    def weight(self) -> str:
        """Its weight's name in pruned networks."""
        return f"{self.layer}.weight"

    @property
    def bias(self) -> str:
        """Its bias's name there."""
        return f"{self.layer}.bias"

    def rows(self, x: Tensor) -> Tensor:
        """The layer's input as one row of features for each position, shape (positions, groups, features per group)."""
        flat = x.movedim(x.dim() - 1 - self.spatial, -1).flatten(0, -2)
        return flat.reshape(len(flat), self.groups, -1)


def find_consumers(space: Space, network: fx.GraphModule) -> tuple[tuple[Consumer, ...], tuple[str, ...]]:
    """The layers that read channels which may go.

    Args:
        space: A search space.
        network: The full network in the space's form, as `build_thin` makes it with everything kept.

    Returns:
        The layers, in order of execution; and a sentence for each that cannot take over what is removed.
    """
    owners = _owners(network)
    found = []
    others = []
    for axis in (axis for axis in space.axes if axis.role == "in"):
        layer = attribute(axis.tensor.removesuffix(".weight"))
        module = _called(network, layer)
        if module is None:
            others.append(f"{layer}: its weight is an argument of a function")
        elif len(owners[id(module.weight)]) > 1:
            others.append(f"{layer}: it shares its weight with {owners[id(module.weight)]}")
        else:
            found.append(_consumer(network, layer, module, axis))
    return tuple(found), tuple(others)


def _called(network: fx.GraphModule, name: str) -> ConvNd | nn.Linear | None:
    for node in network.graph.nodes:
        if node.op == "call_module" and node.target == name:
            module = network.get_submodule(name)
            return module if isinstance(module, (ConvNd, nn.Linear)) else None
    return None


def _owners(network: nn.Module) -> dict[int, list[str]]:
    """The names of every parameter and buffer, by identity."""
    names: dict[int, list[str]] = {}
    tensors = (*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False))
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    return names


def _consumer(network: fx.GraphModule, layer: str, module: ConvNd | nn.Linear, axis: Axis) -> Consumer:
    calls = [node for node in network.graph.nodes if node.op == "call_module" and node.target == layer]
    return Consumer(
        layer=layer,
        tensor=axis.tensor,
        axis=axis.axis,
        groups=module.groups if isinstance(module, ConvNd) else 1,
        spatial=len(module.kernel_size) if isinstance(module, ConvNd) else 0,
        blocks=_blocks(axis.ids),
        has_bias=module.bias is not None,
        centred=module.bias is not None or all(_is_batch_norm(network, user) for node in calls for user in node.users),
    )


def _is_batch_norm(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    module = network.get_submodule(str(node.target))
    return isinstance(module, BatchNorm) and module.running_mean is not None


def _blocks(ids: Ids) -> tuple[Block, ...]:
    """Channels that occur equally often, together; what always stays helps where every channel is one feature."""
    order = np.argsort(ids, kind="stable")
    unique, starts, counts = np.unique(ids[order], return_index=True, return_counts=True)
    places = {int(one): order[start : start + count] for one, start, count in zip(unique, starts, counts, strict=True)}
    fixed = places.pop(FIXED, np.empty(0, dtype=np.int64))
    blocks = []
    for count in sorted({len(features) for features in places.values()}):
        members = [one for one, features in places.items() if len(features) == count]
        table = np.array([places[one] for one in members])
        if count == 1:
            table = np.concatenate([table, fixed[:, None]])
            members += [FIXED] * len(fixed)
        blocks.append(Block(np.array(members, dtype=np.int64), table))
    return tuple(blocks)
