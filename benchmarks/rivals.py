"""How Torch-Pruning prunes the subjects, for `python -m benchmarks.outcomes`; needs `pip install torch-pruning`.

Set up as its examples are: small steps until the budget is met, gradients computed anew before each step where the
criterion wants them, the classifier's outputs left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import eagleeye
from benchmarks.subjects import Subject
from eagleeye.data import Batches

STEPS = 200
"""Steps from the full network to none of it, as in its examples."""
MOST = 0.95
"""The largest share that a layer loses: what this project's largest rate is when offspring are bred."""


def torch_pruning(subject: Subject, budget: float, *, criterion: str, together: bool) -> nn.Module:
    """Prune with Torch-Pruning.

    Args:
        subject: What to prune; left as it is.
        budget: Fraction of the MACs.
        criterion: `magnitude` (L2 norm of a group) or `taylor` (first order, on the calibration images).
        together: Whether all layers compete for the channels ("global"); else all lose the same share ("local").

    Returns:
        The first network at or below the budget, not recalibrated.
    """
    import torch_pruning as rival

    network = copy.deepcopy(subject.network).cpu().eval()
    x = torch.zeros(1, *subject.calibration.pixels.shape[1:])
    taylor = criterion == "taylor"
    pruner = rival.pruner.BasePruner(
        network,
        x,
        importance=rival.importance.TaylorImportance() if taylor else rival.importance.MagnitudeImportance(p=2),
        global_pruning=together,
        pruning_ratio=1.0,
        max_pruning_ratio=MOST,
        iterative_steps=STEPS,
        ignored_layers=[module for module in network.modules() if isinstance(module, nn.Linear)],
    )
    batches, most = _labelled(subject), budget * eagleeye.cost(network, x).macs
    while eagleeye.cost(network, x).macs > most:
        if pruner.current_step == STEPS:
            raise RuntimeError(f"{budget:.1%} of the MACs is not reached where no layer loses over {MOST:.0%}")
        if taylor:
            images, labels = next(batches)
            network.zero_grad()
            F.cross_entropy(network(images), labels).backward()
        pruner.step()
    network.zero_grad(set_to_none=True)
    return network


def _labelled(subject: Subject) -> Iterator[tuple[Tensor, Tensor]]:
    batches: Any = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=True)
    return cycle(batches)


RIVALS = {
    f"Torch-Pruning, {scope} {criterion}": partial(torch_pruning, criterion=criterion, together=scope == "global")
    for criterion in ("magnitude", "taylor")
    for scope in ("local", "global")
}
"""Given the subject and the budget, each prunes."""
