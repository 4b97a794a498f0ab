"""A place for one candidate at a time: a network whose tensors are exchanged instead of a network built anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from eagleeye.batchnorm import batch_norm_layers
from eagleeye.engine.fold import find_pairs, fold, without_norms
from eagleeye.engine.parent import Parent
from eagleeye.prune import set_sizes

LOW_PRECISION = (nn.Linear, nn.modules.conv._ConvNd)


class Slot:
    """A network that takes the shape of any candidate; one thread at a time.

    Filling it cuts the parent's tensors and changes nothing else: no graph is built, no module made (but those few
    whose settings follow the widths).

    Args:
        parent: The trained network.
        dtype: Of the weights of convolutions and linear layers; statistics and everything else stay as they are.
    """

    def __init__(self, parent: Parent, *, dtype: torch.dtype = torch.float32) -> None:
        self.parent, self.dtype = parent, dtype
        self.network: fx.GraphModule = parent.network()
        self.pairs = find_pairs(self.network)
        self._low = self._low_precision()
        for tensor in self._low:
            tensor.data = tensor.data.to(dtype)
        self.folded = without_norms(self.network, self.pairs)
        self.norms = batch_norm_layers(self.network)
        self._targets = [self._find(cut.name) for cut in parent.cuts]
        self._layers = self._sized_layers()
        # Float32 weights of the convolutions to fold, so that they are rounded once only.
        self._weights: dict[str, Tensor] = {}

    def fill(self, widths: Sequence[int]) -> None:
        """Take the shape of a candidate, with the trained network's statistics.

        Args:
            widths: Channels left per group.

        Raises:
            StrategyError: The widths do not fit the space.
        """
        kept = self.parent.kept(widths)
        indices = self.parent.indices(kept)
        for cut, target in zip(self.parent.cuts, self._targets, strict=True):
            tensor = cut.tensor
            for axis, place in cut.axes:
                index = indices[place]
                tensor = tensor if index is None else tensor.index_select(axis, index)
            self._weights[cut.name] = tensor
            tensor = tensor.to(self.dtype) if target in self._low else tensor
            # Recalibration writes into statistics; the parent's are not to change.
            target.data = tensor.clone() if tensor is cut.tensor and not isinstance(target, nn.Parameter) else tensor
        for thin, full in self._layers:
            set_sizes(thin, full)
        for name, step in self.parent.space.steps.items():
            module = step.build(kept).to(self.parent.device)
            self.network.set_submodule(name, module)
            self.folded.set_submodule(name, module)

    def fold(self) -> fx.GraphModule:
        """The filled network for prediction, its present statistics folded into the convolutions."""
        for pair in self.pairs:
            conv, norm = self.network.get_submodule(pair.conv), self.network.get_submodule(pair.norm)
            weight = self._weights.get(f"{pair.conv}.weight", conv.get_parameter("weight"))
            fold(conv, norm, weight.float(), self.folded.get_submodule(pair.conv))
        return self.folded

    def statistics(self) -> Tensor:
        """All BN statistics, one after another, float32 (count,) on the CPU."""
        tensors = [tensor for layer in self.norms for tensor in (layer.running_mean, layer.running_var)]
        return torch.cat([tensor.float() for tensor in tensors if tensor is not None] or [torch.empty(0)]).cpu()

    def restore(self, statistics: Tensor) -> None:
        """Put statistics back that `statistics` gave for the same candidate."""
        place = 0
        for layer in self.norms:
            for tensor in (layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.copy_(statistics[place : place + len(tensor)])
                place += len(tensor)

    def _find(self, name: str) -> Tensor:
        path, _, key = name.rpartition(".")
        tensor: Tensor = getattr(self.network.get_submodule(path), key)
        return tensor

    def _low_precision(self) -> set[Tensor]:
        layers = [module for module in self.network.modules() if isinstance(module, LOW_PRECISION)]
        return {tensor for layer in layers for tensor in layer.parameters()} if self.dtype != torch.float32 else set()

    def _sized_layers(self) -> list[tuple[nn.Module, nn.Module]]:
        """The layers whose own size attributes follow the widths, each with the parent's."""
        names = dict.fromkeys(cut.name.rpartition(".")[0] for cut in self.parent.cuts)
        return [(self.network.get_submodule(name), self.parent.full.get_submodule(name)) for name in names]
