"""Torch-Pruning on the same networks: does the pruned network run, and does it compute what it should?"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from eagleeye.check import NormalisedOverKept, relative_difference

FIRST = 0.3
"""The ratio tried first: where two tied layers lose 0.3 each, half of the MACs is left."""
CLOSE = 0.02
"""How far from half of the MACs is close enough."""
STEPS = 6
"""Tries to find the one pruning ratio that leaves half of the MACs."""
_NORMS = (nn.LayerNorm, nn.GroupNorm)


def measure(network: nn.Module, x: Tensor, full: int) -> dict[str, Any]:
    """Bisect the one pruning ratio of its group pruner, as its examples set it up: the classifier is left alone.

    Args:
        network: In evaluation mode, for ten classes; left as it was.
        x: Example input (1, C, H, W).
        full: The network's MACs.

    Returns:
        Seconds of one pruning, the share of MACs left, whether all classes are, the difference to the masked network.
    """
    low, high, best, chosen = 0.0, 1.0, 1.0, 0.0
    seconds, classes = 0.0, False
    for step in range(STEPS):
        ratio = (low + high) / 2 if step else FIRST
        copied = copy.deepcopy(network)
        start = time.perf_counter()
        _prune(copied, x, ratio)
        seconds = time.perf_counter() - start
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = copied(x)
        share = counter.get_total_flops() / 2 / full
        if abs(share - 0.5) < abs(best - 0.5):
            best, chosen, classes = share, ratio, tuple(output.shape) == (1, 10)
        low, high = (ratio, high) if share > 0.5 else (low, ratio)
        if abs(share - 0.5) <= CLOSE:
            break
    return {"seconds": seconds, "macs": best, "classes": classes, "difference": _difference(network, x, chosen)}


def _prune(network: nn.Module, x: Tensor, ratio: float) -> None:
    heads = [m for m in network.modules() if 10 in (getattr(m, "out_features", 0), getattr(m, "out_channels", 0))]
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=1)
    pruner = torch_pruning.pruner.MetaPruner(
        network, x, importance=importance, pruning_ratio=ratio, ignored_layers=heads
    )
    pruner.step()


def _difference(network: nn.Module, x: Tensor, ratio: float) -> float:
    """Prune a copy whose every number is its own position: what is left tells what was cut, axis by axis."""
    thin, masked = copy.deepcopy(network).double(), copy.deepcopy(network).double()
    for tensor in _tensors(thin).values():
        tensor.data = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
    _prune(thin, x.double(), ratio)
    shapes = {name: tensor.shape for name, tensor in _tensors(masked).items()}
    kept = {name: _kept(tensor, shapes[name]) for name, tensor in _tensors(thin).items()}
    for name, tensor in _tensors(thin).items():
        full = _tensors(masked)[name].data
        for axis, index in enumerate(kept[name]):
            full = full.index_select(axis, index)
        tensor.data = full
    norms: dict[int, tuple[int, Tensor]] = {}
    for name, module in masked.named_modules():
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            columns = 0 if getattr(module, "transposed", False) else 1
            gone = ~torch.isin(torch.arange(module.weight.shape[columns]), kept[f"{name}.weight"][columns])
            module.weight.data.transpose(0, columns)[gone] = 0
        elif isinstance(module, _NORMS) and module.weight is not None:
            stays = torch.isin(torch.arange(len(module.weight)), kept[f"{name}.weight"][0])
            norms[id(module.weight)] = (0, stays)
    with torch.no_grad(), NormalisedOverKept(norms):
        reference = masked(x.double())
    with torch.no_grad():
        return relative_difference(thin(x.double()), reference)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    named = [*network.named_parameters(), *network.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.dim() > 0}


def _kept(tensor: Tensor, shape: torch.Size) -> list[Tensor]:
    """The positions that are left on each axis of a tensor that held its own positions."""
    lines = [tensor.detach()[tuple(slice(None) if at == axis else 0 for at in range(len(shape)))]
             for axis in range(len(shape))]  # fmt: skip
    return [line.long() // math.prod(shape[axis + 1 :]) % shape[axis] for axis, line in enumerate(lines)]
