"""A class for every pixel: overlap with the masks, and scores that need none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.errors import EvaluationError
from eagleeye.forward.structures import tensors
from eagleeye.task.confidence import Losses, Shares
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name

if TYPE_CHECKING:
    from torchmetrics import Metric

IGNORED = 255
"""Pixels of this class belong to none: borders in Pascal VOC, for instance."""


def class_scores(outputs: Any) -> Tensor:
    """Class scores (n, classes, h, w): the outputs, or their first tensor, `out` of torchvision's networks."""
    return tensors(outputs)[0]


def overlap(outputs: Any, masks: Tensor) -> Tensor:
    """Intersection over union, the mean over the classes that an image's mask or prediction holds.

    The mean over images is not the mIoU of all of them together, which counts rare classes alike; it is what can be
    compared image by image.

    Args:
        outputs: Of the candidate.
        masks: int64 (n, h, w); 255 is left out.

    Returns:
        float64 (n,), in [0, 1].
    """
    scores = class_scores(outputs)
    return torch.stack(
        [_overlap(mine, wanted, scores.shape[1]) for mine, wanted in zip(scores.argmax(1), masks, strict=True)]
    )


def pixel_accuracy(outputs: Any, masks: Tensor) -> Tensor:
    """The share of an image's pixels whose class is right.

    Args:
        outputs: Of the candidate.
        masks: As for `overlap`.

    Returns:
        float64 (n,), in [0, 1].
    """
    counted = masks != IGNORED
    right = (class_scores(outputs).argmax(1) == masks) & counted
    return right.flatten(1).double().sum(1) / counted.flatten(1).double().sum(1).clamp(min=1)


def pixel_loss(outputs: Any, masks: Tensor) -> Tensor:
    """Cross-entropy, the mean over an image's pixels, in nats.

    Args:
        outputs: Of the candidate.
        masks: As for `overlap`.

    Returns:
        float64 (n,).
    """
    found = F.cross_entropy(class_scores(outputs).double(), masks, reduction="none", ignore_index=IGNORED)
    return found.flatten(1).sum(1) / (masks != IGNORED).flatten(1).double().sum(1).clamp(min=1)


def agreement(outputs: Any, full: Any) -> Tensor:
    """The share of an image's pixels that get the class which the unpruned network gives them.

    Args:
        outputs: Of the candidate.
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), in [0, 1].
    """
    mine, wanted = (class_scores(each).argmax(1) for each in (outputs, full))
    return (mine == wanted).flatten(1).double().mean(1)


def divergence(outputs: Any, full: Any) -> Tensor:
    """Kullback-Leibler divergence from the unpruned network's probabilities, the mean over pixels, in nats.

    Args:
        outputs: Of the candidate.
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), at least 0.
    """
    mine, wanted = (F.log_softmax(class_scores(each).double(), dim=1) for each in (outputs, full))
    found = F.kl_div(mine, wanted, reduction="none", log_target=True).sum(1)
    return found.flatten(1).mean(1).clamp(min=0)


class Segmentation(Task):
    """Networks with class scores for every pixel, (n, classes, h, w), and masks int64 (n, h, w)."""

    name = "segmentation"
    scorers = by_name(
        [
            Scorer("overlap", overlap, False, Shares, "pixel_loss", "overlaps", "overlap, the mean over images"),
            Scorer("pixel_accuracy", pixel_accuracy, False, Shares, "pixel_loss", "pixels_right", "pixel accuracy"),
            Scorer("pixel_loss", pixel_loss, False, Losses, "overlap", "pixel_losses", "cross-entropy of pixels"),
            Scorer("agreement", agreement, True, Shares, "divergence", "pixels_alike", "agreement of pixels"),
            Scorer("divergence", divergence, True, Losses, "agreement", "divergences", "divergence of pixels"),
        ]
    )

    def check(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check`."""
        found = tensors(outputs)
        if not found or found[0].dim() != 4 or found[0].shape[1] < 2:
            shape = tuple(found[0].shape) if found else type(outputs).__name__
            raise EvaluationError(
                f"network output: {shape} is no score for every class and pixel; it must be (n, classes, h, w), with"
                " two classes at least: let a module of your own around the network return that"
            )
        if targets.shape[1:] != found[0].shape[2:] or targets.is_floating_point():
            raise EvaluationError(
                f"masks: {str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape[1:])} given, but the"
                f" network's outputs are {tuple(found[0].shape[2:])}; needed is a class for each of these"
            )
        highest = int(torch.where(targets == IGNORED, 0, targets).max())
        if highest >= found[0].shape[1] or int(targets.min()) < 0:
            wrong = highest if highest >= found[0].shape[1] else int(targets.min())
            raise EvaluationError(
                f"masks: class {wrong} occurs, but the network has {found[0].shape[1]} classes; number them from 0, and"
                f" give pixels of no class {IGNORED}"
            )
        if not bool(torch.isfinite(found[0]).all()):
            raise EvaluationError(
                "network output: it holds NaN or infinite values; check the checkpoint and the images' normalisation"
            )

    def answers(self, outputs: Any) -> Tensor:
        """The class that every pixel gets, int64 (n, h, w); see `Task.answers`."""
        return class_scores(outputs).argmax(1)

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """Cross-entropy of pixels, of auxiliary outputs times 0.4 as in torchvision; see `Task.criterion`."""
        loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing, ignore_index=IGNORED)

        def total(outputs: Any, masks: Tensor) -> Tensor:
            first, *others = tensors(outputs)
            parts = [loss(first, masks), *(AUXILIARY * loss(other, masks) for other in others)]
            return torch.stack(parts).sum()

        return total

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """T² · KL of softened probabilities, the mean over pixels; see `Task.distance`."""
        mine, softened = (F.log_softmax(class_scores(each) / temperature, dim=1) for each in (outputs, wanted))
        return temperature**2 * F.kl_div(mine, softened, reduction="none", log_target=True).sum(1).mean()

    def told(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The class that every pixel gets; see `Task.told`."""
        return self.answers(outputs), targets

    def metrics(self, outputs: Any) -> Mapping[str, Metric]:
        """The mean intersection over union, and the share of right pixels, of all images; see `Task.metrics`."""
        from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

        classes = class_scores(outputs).shape[1]
        return {
            "mIoU": MulticlassJaccardIndex(classes, ignore_index=IGNORED),
            "pixel accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED),
        }


AUXILIARY = 0.4


def _overlap(chosen: Tensor, mask: Tensor, classes: int) -> Tensor:
    counted = mask != IGNORED
    chosen, mask = chosen[counted], mask[counted]
    both = torch.bincount(mask[chosen == mask], minlength=classes).double()
    either = torch.bincount(mask, minlength=classes) + torch.bincount(chosen, minlength=classes) - both
    present = either > 0
    # An image of ignored pixels alone has nothing to be wrong about.
    return (both[present] / either[present]).mean() if bool(present.any()) else torch.ones((), dtype=torch.float64)
