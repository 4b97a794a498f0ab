"""A network in two forms: as it is, for recalibration, and with its statistics folded in, for prediction."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from eagleeye.engine.fold import find_pairs, fold, weight_of, without_norms
from eagleeye.scoring.batchnorm import batch_norm_layers
from eagleeye.torch_layers import ConvNd

LOW_PRECISION = (nn.Linear, ConvNd)


class Adaptable:
    """A network whose BN statistics change while its weights stay.

    Args:
        network: The network, in evaluation mode; it is changed.
        dtype: Of the weights of convolutions and linear layers, float32 leaving them as they are; statistics and
            everything else stay.
    """

    def __init__(self, network: fx.GraphModule, dtype: torch.dtype) -> None:
        self.network = network
        self.dtype = dtype
        self.pairs = find_pairs(network)
        # Weights of the convolutions to fold in their full precision, so that they are rounded once only.
        self.exact = {pair.conv: weight_of(network, pair.conv).data for pair in self.pairs}
        self.low = self._low_precision()
        for tensor in self.low:
            tensor.data = tensor.data.to(dtype)
        self.folded = without_norms(network, self.pairs)
        self.norms = batch_norm_layers(network)

    def fold(self) -> fx.GraphModule:
        """The network for prediction, its present statistics folded into the convolutions."""
        for pair in self.pairs:
            conv = self.network.get_submodule(pair.conv)
            norm = self.network.get_submodule(pair.norm)
            exact = self.exact[pair.conv]
            weight = exact.to(torch.promote_types(exact.dtype, torch.float32))
            fold(conv, norm, weight, self.folded.get_submodule(pair.conv))
        return self.folded

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
