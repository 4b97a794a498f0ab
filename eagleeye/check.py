"""The criterion of a correct pruning: the thin network equals the masked full one."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from eagleeye.channels.space import Rates, Space
from eagleeye.prune import build_thin, choose
from eagleeye.strategies import Strategy


def check(
    model: nn.Module, space: Space, strategy: Strategy | Rates, example_input: Tensor | tuple[Tensor, ...]
) -> float:
    """Largest relative difference between a thin network and the full one whose consumers ignore what was removed.

    In a copy of the full network, run as the user wrote it, every consumer's weights for removed channels are set
    to zero. Both networks run in float64 and evaluation mode, so anything above rounding is a wrong cut.

    Args:
        model: The full network, left untouched.
        space: Its search space.
        strategy: A strategy, or one rate per group.
        example_input: Float tensor (N, C, H, W), or one per input.

    Returns:
        max |thin - masked| / max |masked| over all outputs.
    """
    inputs = (example_input,) if isinstance(example_input, Tensor) else tuple(example_input)
    doubles = tuple(i.double() if i.is_floating_point() else i for i in inputs)
    full = copy.deepcopy(model).double().eval()
    widths = strategy.widths if isinstance(strategy, Strategy) else space.widths_of(strategy)
    chosen = choose(model, space, widths)
    kept = space.kept(chosen)
    thin = build_thin(full, space, chosen)
    with torch.no_grad():
        outputs = _tensors(thin(*doubles))
        for axis in space.axes:
            if axis.role == "in":
                gone = torch.from_numpy(~kept[axis.ids])
                full.get_parameter(axis.tensor).transpose(0, axis.axis)[gone] = 0
        masked = _tensors(full(*doubles))
    return max(
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-300)) for a, b in zip(outputs, masked, strict=True)
    )


def _tensors(output: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(list(output.values()) if isinstance(output, dict) else output)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]
