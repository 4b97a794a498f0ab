"""Any outputs, and no labels: how far a candidate's outputs are from those of the unpruned network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.forward.structures import places, tensors
from eagleeye.task.confidence import Distances, Shares
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name


def relative_distance(outputs: Any, full: Any) -> Tensor:
    """How far outputs are from others, as a fraction of their size: 0 where they are equal, 2 where they are opposite.

    For every image and tensor ‖o - f‖ / √((‖o‖² + ‖f‖²) / 2), and the mean over tensors: close to the relative error
    ‖o - f‖ / ‖f‖ where that is small, but bounded, so that an image of which the unpruned network says next to nothing
    does not outweigh all others. Of whole numbers, classes say, the share that differs.

    Args:
        outputs: Of the candidate: tensors in any structure, batch first.
        full: Of the unpruned network for the same images, of the same structure.

    Returns:
        float64 (n,), in [0, 2].
    """
    pairs = zip(tensors(outputs), tensors(full), strict=True)
    return torch.stack([_distance(mine, theirs) for mine, theirs in pairs]).mean(0)


def similarity(outputs: Any, full: Any) -> Tensor:
    """The cosine between outputs and others, the mean over tensors; of whole numbers, the share that is equal.

    Args:
        outputs: As for `relative_distance`.
        full: Likewise.

    Returns:
        float64 (n,), in [-1, 1].
    """
    pairs = zip(tensors(outputs), tensors(full), strict=True)
    return torch.stack([_cosine(mine, theirs) for mine, theirs in pairs]).mean(0)


DISTANCE = Scorer(
    "distance", relative_distance, True, Distances, second="similarity", images="distances", label="relative distance"
)
SIMILARITY = Scorer(
    "similarity", similarity, True, Shares, second="distance", images="similarities", label="cosine similarity"
)


class Fidelity(Task):
    """Networks with any outputs: tensors, batch first, in dicts, lists, tuples, named tuples, dataclasses."""

    name = "fidelity"
    targets = "none"
    targets_move = False
    scorers = by_name([DISTANCE, SIMILARITY])

    def check(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check`."""
        check_structure(outputs)

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """There is none; see `Task.criterion`."""
        raise ConfigError("distillation: with task fidelity the unpruned network is the only teacher; set it to 1")

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """The relative error; see `Task.distance`."""
        return relative_error(outputs, wanted)


def relative_error(outputs: Any, wanted: Any) -> Tensor:
    """The relative error ‖outputs - wanted‖ / ‖wanted‖ over the whole batch; mean over tensors.

    Not its square: that one's gradient grows without bounds where a pruned network is far away, and training ends in
    infinity at learning rates that classifiers bear.

    Args:
        outputs: Tensors in any structure; whole numbers are passed over, they have no gradient.
        wanted: Of the same structure.

    Returns:
        A scalar.
    """
    pairs = zip(tensors(outputs), tensors(wanted), strict=True)
    return torch.stack([_error(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]).mean()


def check_structure(outputs: Any) -> None:
    """Check that outputs are tensors, batch first, and finite.

    Args:
        outputs: What a network returned.

    Raises:
        EvaluationError: They are not.
    """
    found = dict(zip(places(outputs, "output"), tensors(outputs), strict=True))
    if not found:
        raise EvaluationError(
            f"network output: a {type(outputs).__name__} without tensors; let a module of your own around the network"
            " return what matters as tensors"
        )
    counts = {name: len(tensor) if tensor.dim() else 0 for name, tensor in found.items()}
    if len(set(counts.values())) > 1 or not min(counts.values()):
        name = next(name for name, count in counts.items() if count != max(counts.values()) or not count)
        raise EvaluationError(
            f"network output: {name} is {tuple(found[name].shape)}, others begin with {max(counts.values())}; needed"
            " are tensors with one entry for each image: let a module of your own around the network leave others out"
        )
    for name, tensor in found.items():
        if not bool(torch.isfinite(tensor).all()):
            raise EvaluationError(
                f"network output: {name} holds NaN or infinite values; check the checkpoint and the images'"
                " normalisation"
            )


_TINY = 1e-12
"""Of squares: less counts as nothing."""


def _error(mine: Tensor, theirs: Tensor) -> Tensor:
    share = (mine - theirs).square().mean() / theirs.square().mean().clamp(min=_TINY)
    # At 0 a square root has no gradient.
    return share.clamp(min=_TINY).sqrt()


def _distance(mine: Tensor, theirs: Tensor) -> Tensor:
    if not mine.is_floating_point():
        return (mine != theirs).reshape(len(mine), -1).double().mean(1)
    a, b = (each.reshape(len(each), -1).double() for each in (mine, theirs))
    size = (a.square().sum(1) + b.square().sum(1)) / 2
    return torch.where(size > _TINY, ((a - b).square().sum(1) / size.clamp(min=_TINY)).sqrt(), 0.0)


def _cosine(mine: Tensor, theirs: Tensor) -> Tensor:
    if not mine.is_floating_point():
        return (mine == theirs).reshape(len(mine), -1).double().mean(1)
    a, b = (each.reshape(len(each), -1).double() for each in (mine, theirs))
    lengths = a.norm(dim=1) * b.norm(dim=1)
    # Two outputs of nothing at all are alike.
    return torch.where(lengths > _TINY, (a * b).sum(1) / lengths.clamp(min=_TINY), (a - b).norm(dim=1) <= _TINY)
