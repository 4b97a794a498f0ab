"""A network in two forms: as it is, for recalibration, and with its statistics folded in, for prediction."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from eagleeye.engine.fold import find_pairs, fold, weight_of, without_norms
from eagleeye.engine.place import Around, Place
from eagleeye.forward.inputs import precision_of
from eagleeye.scoring.batchnorm import batch_norm_layers
from eagleeye.torch_layers import ConvNd

LOW_PRECISION = (nn.Linear, ConvNd)


class Adaptable:
    """A network whose BN statistics change while its weights stay.

    Args:
        network: The network, in evaluation mode; it is changed.
        dtype: Of the weights of convolutions and linear layers, float32 leaving them as they are; statistics and
            everything else stay.
        around: Makes a copy of the whole network with a module in the place of its core, which `network` is; None: it
            is whole itself.
    """

    def __init__(
        self, network: fx.GraphModule, dtype: torch.dtype, around: Callable[[nn.Module], nn.Module] | None = None
    ) -> None:
        self.network = network
        self._precision = precision_of(network)
        self.dtype = dtype
        self.pairs = find_pairs(network)
        # Weights of the convolutions to fold in their full precision, so that they are rounded once only.
        self.exact = {pair.conv: weight_of(network, pair.conv).data for pair in self.pairs}
        self.low = self._low_precision()
        for tensor in self.low:
            tensor.data = tensor.data.to(dtype)
        self.folded = without_norms(network, self.pairs)
        self._place = None if around is None else Place(network, dtype, _device_of(network))
        self.whole: nn.Module = network if self._place is None or around is None else around(self._place)
        self.norms = batch_norm_layers(self.whole)
        own = set(batch_norm_layers(network))
        self.outside = [layer for layer in self.norms if layer not in own]
        """BN layers outside of the core."""

    def adaptable(self) -> nn.Module:
        """The network for recalibration: as it is, run no further than there is something to recalibrate."""
        if self._place is None:
            return self.network
        self._place.core = self.network
        return Around(self.whole, self._place, self._precision, ends=not self.outside)

    def copied(self) -> nn.Module:
        """A copy of the whole network as it is; its tensors are its own."""
        core = copy.deepcopy(self.network)
        return core if self._place is None else copy.deepcopy(self.whole, {id(self._place): core})

    def fold(self) -> nn.Module:
        """The network for prediction, its present statistics folded into the convolutions."""
        for pair in self.pairs:
            conv = self.network.get_submodule(pair.conv)
            norm = self.network.get_submodule(pair.norm)
            exact = self.exact[pair.conv]
            weight = exact.to(torch.promote_types(exact.dtype, torch.float32))
            fold(conv, norm, weight, self.folded.get_submodule(pair.conv))
        if self._place is None:
            return self.folded
        self._place.core = self.folded
        return Around(self.whole, self._place, self._precision, ends=False)

    def statistics(self) -> Tensor:
        """All BN statistics, one after another, (count,) on the CPU; float32, or float64 where the network is."""
        tensors = [tensor for layer in self.norms for tensor in (layer.running_mean, layer.running_var)]
        return torch.cat([tensor for tensor in tensors if tensor is not None] or [torch.empty(0)]).cpu()

    def restore(self, statistics: Tensor) -> None:
        """Put statistics back that `statistics` gave for the same shape of the network."""
        place = 0
        for layer in self.norms:
            for tensor in (layer.running_mean, layer.running_var):
                assert tensor is not None
                tensor.copy_(statistics[place : place + len(tensor)])
                place += len(tensor)

    def _low_precision(self) -> set[Tensor]:
        if self.dtype == torch.float32:
            return set()
        layers = [module for module in self.network.modules() if isinstance(module, LOW_PRECISION)]
        return {tensor for layer in layers for tensor in layer.parameters()}


def _device_of(network: nn.Module) -> torch.device:
    return next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
