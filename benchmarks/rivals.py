"""How other tools prune the subjects, for `python -m benchmarks.outcomes`.

Torch-Pruning (`pip install torch-pruning`) is set up as its examples are: small steps until the budget is met,
gradients computed anew before each step where the criterion wants them, the classifier's outputs left alone.

FastNAS of NVIDIA's ModelOpt (`pip install nvidia-modelopt torchprofile==0.0.4`) is set up as in its example for
CIFAR-10: it measures what every width of every layer alone costs in top-1, after BN calibration, and takes the smallest
widths that cost no more than a threshold. Its steps are finer here (any number of channels, not multiples of 32).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
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
JUDGED = 1024
"""Images that judge a width in ModelOpt's search."""
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


def modelopt(subject: Subject, budget: float) -> nn.Module:
    """Prune with ModelOpt's FastNAS, on the same calibration images.

    Args:
        subject: What to prune; left as it is.
        budget: Fraction of the MACs.

    Returns:
        The network that its search ends with, not recalibrated.
    """
    import modelopt.torch.prune as rival

    space = rival.fastnas.FastNASConfig().model_dump()
    space["nn.Conv2d"]["*"]["channel_divisor"] = 1
    for kind in ("nn.BatchNorm2d", "nn.Linear"):
        space[kind]["*"]["feature_divisor"] = 1
    network, judged = copy.deepcopy(subject.network).cpu(), _judged(subject)
    calibration: Any = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=False)
    pixels = [(images,) for images in calibration]
    found, _ = rival.prune(
        network,
        mode=[("fastnas", space)],
        constraints={"flops": f"{100 * budget}%"},
        dummy_input=torch.zeros(1, *subject.calibration.pixels.shape[1:]),
        config={"data_loader": pixels, "max_iter_data_loader": len(pixels), "score_func": judged, "verbose": False},
    )
    thin: nn.Module = found.eval()
    return thin


def _judged(subject: Subject) -> Callable[[nn.Module], float]:
    """Top-1 in percent on sub-validation images, fewer than all for time, as its documentation advises."""
    batches: Any = Batches(subject.sub_validation, subject.preprocess, batch_size=128, device="cpu", labelled=True)
    known = [(images, labels) for images, labels in batches.first(JUDGED)]

    def judge(network: nn.Module) -> float:
        with torch.no_grad():
            hits = sum(int((network.eval()(images).argmax(1) == labels).sum()) for images, labels in known)
        return 100 * hits / sum(len(labels) for _, labels in known)

    return judge


def _labelled(subject: Subject) -> Iterator[tuple[Tensor, Tensor]]:
    batches: Any = Batches(subject.calibration, subject.preprocess, batch_size=128, device="cpu", labelled=True)
    return cycle(batches)


RIVALS: dict[str, Callable[[Subject, float], nn.Module]] = {
    f"Torch-Pruning, {scope} {criterion}": partial(torch_pruning, criterion=criterion, together=scope == "global")
    for criterion in ("magnitude", "taylor")
    for scope in ("local", "global")
}
RIVALS["ModelOpt FastNAS"] = modelopt
"""Given the subject and the budget, each prunes."""
