"""Boxes around objects: average precision image by image, and agreement with the unpruned network's boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eagleeye.errors import ConfigError, DataError, EvaluationError, ModelError
from eagleeye.forward.structures import tensors
from eagleeye.task import boxes
from eagleeye.task.confidence import Shares
from eagleeye.task.fidelity import relative_error
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name

if TYPE_CHECKING:
    from torchmetrics import Metric


def average_precision(outputs: Sequence[boxes.Boxes], targets: Sequence[boxes.Boxes]) -> Tensor:
    """Average precision at an overlap of a half, of every image by itself, its classes together.

    The mean over images is not the mAP of all of them together; it is what can be compared image by image.

    Args:
        outputs: Of the candidate, detections of each image.
        targets: The boxes of each.

    Returns:
        float64 (n,), in [0, 1].
    """
    return _of_each(boxes.average_precision, outputs, targets)


def f1(outputs: Sequence[boxes.Boxes], targets: Sequence[boxes.Boxes]) -> Tensor:
    """F1 of every image's detections with a score of a half at least.

    Args:
        outputs: Of the candidate.
        targets: The boxes of each image.

    Returns:
        float64 (n,), in [0, 1].
    """
    return _of_each(boxes.f1, outputs, targets)


def agreement(outputs: Sequence[boxes.Boxes], full: Sequence[boxes.Boxes]) -> Tensor:
    """How far the candidate sees what the unpruned network sees; see `eagleeye.task.boxes.agreement`.

    Args:
        outputs: Of the candidate.
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), in [0, 1].
    """
    return _of_each(boxes.agreement, outputs, full)


def imitation(outputs: Sequence[boxes.Boxes], full: Sequence[boxes.Boxes]) -> Tensor:
    """Average precision as if what the unpruned network is sure of were all there is.

    Args:
        outputs: Of the candidate.
        full: Of the unpruned network for the same images.

    Returns:
        float64 (n,), in [0, 1].
    """
    return average_precision(outputs, [boxes.only_sure(each) for each in full])


class Detection(Task):
    """Networks that return a dict of boxes, labels and scores for every image, as torchvision's detectors do.

    In training they take the images and a list with a dict of boxes and labels for each, and return a dict of losses.
    """

    name = "detection"
    targets = "list"
    computes_losses = True
    scorers = by_name(
        [
            Scorer("average_precision", average_precision, False, Shares, "f1", "precisions", "average precision"),
            Scorer("f1", f1, False, Shares, "average_precision", "f1s", "F1"),
            Scorer("agreement", agreement, True, Shares, "imitation", "boxes_alike", "agreement of boxes"),
            Scorer("imitation", imitation, True, Shares, "agreement", "imitations", "precision by the full network"),
        ]
    )

    def check(self, outputs: Any, targets: Any) -> None:
        """See `Task.check`."""
        if not isinstance(outputs, Sequence) or not all(isinstance(each, Mapping) for each in outputs):
            raise EvaluationError(
                f"network output: a {type(outputs).__name__}; needed is a list with a dict of boxes, labels and scores"
                " for each image, as torchvision's detectors return in evaluation mode"
            )
        for image, found in enumerate(outputs):
            _check_boxes(found, f"network output: image {image}", scored=True)
        if not isinstance(targets, Sequence):
            raise EvaluationError(f"targets: a {type(targets).__name__}; needed is a list with a dict for each image")
        for image, wanted in enumerate(targets):
            _check_boxes(wanted, f"targets: image {image}", scored=False)

    def check_images(self, model: nn.Module, inputs: Tensor, targets: Any) -> None:
        """Boxes that lie in the picture, labels that the network knows; see `Task.check_images`."""
        if find_spec("pycocotools") is None:
            raise ConfigError("task detection: mAP needs pycocotools; pip install 'eagleeye-pruning[detection]'")
        size = torch.tensor([inputs.shape[-1], inputs.shape[-2]]).repeat(2)
        classes = classes_of(model)
        for image, wanted in enumerate(targets):
            _check_boxes(wanted, f"targets: image {image}", scored=False)
            found = wanted["boxes"].cpu()
            outside = ((found < 0) | (found > size)).any(1)
            flat = (found[:, 2:] <= found[:, :2]).any(1)
            for wrong, said in ((outside, f"lies outside of {size[0]}x{size[1]} pixels"), (flat, "has no area")):
                if bool(wrong.any()):
                    values = [round(value, 2) for value in found[wrong][0].tolist()]
                    raise DataError(f"targets: image {image}: box {values} {said}; needed are x0, y0, x1, y1 in pixels")
            labels = wanted["labels"]
            if len(labels) and (int(labels.min()) < 0 or (classes is not None and int(labels.max()) >= classes)):
                wrong_label = int(labels.min()) if int(labels.min()) < 0 else int(labels.max())
                raise DataError(
                    f"targets: image {image}: label {wrong_label}, but the network has {classes} classes, counted from"
                    " 0; build it for the classes of the data"
                )

    def answers(self, outputs: Any) -> list[dict[str, Tensor]]:
        """The boxes that the network is sure of; see `Task.answers`."""
        self.check(outputs, [])
        return [boxes.only_sure(each) for each in outputs]

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """The sum of the network's own losses; see `Task.criterion`."""
        if label_smoothing:
            raise ConfigError(f"label_smoothing is {label_smoothing}: detectors compute their losses themselves; set 0")

        def total(losses: Any, _targets: Any) -> Tensor:
            return torch.stack(tensors(losses)).sum()

        return total

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """The relative error of the core's outputs; see `Task.distance`."""
        return relative_error(outputs, wanted)

    def told(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """Detections and boxes as they are; see `Task.told`."""
        return outputs, targets

    def metrics(self, outputs: Any) -> Mapping[str, Metric]:
        """COCO's mean average precision, over overlaps from 0.5 to 0.95, and at 0.5; see `Task.metrics`."""
        from eagleeye.task.mean_precision import MeanPrecision

        return {"mAP": MeanPrecision("map"), "mAP@50": MeanPrecision("map_50")}

    def check_training(self, outputs: Any, targets: Any) -> None:
        """See `Task.check_training`."""
        found = tensors(outputs)
        if not isinstance(outputs, Mapping) or not found or any(tensor.dim() for tensor in found):
            raise ModelError(
                f"the network returns a {type(outputs).__name__} in training, but must return a dict of losses, as"
                " torchvision's detectors do when they are called with images and targets"
            )


def classes_of(model: nn.Module) -> int | None:
    """How many classes a detector has, the background included where it has one; None where that is not known.

    Args:
        model: The detector; torchvision's tell.
    """
    for module in model.modules():
        scores = getattr(module, "cls_score", None)
        if isinstance(scores, nn.Linear):
            return scores.out_features
        head = getattr(module, "classification_head", None)
        for count in (getattr(module, "num_classes", None), getattr(head, "num_columns", None)):
            if isinstance(count, int):
                return count
    return None


def _of_each(score: Any, outputs: Sequence[boxes.Boxes], wanted: Sequence[boxes.Boxes]) -> Tensor:
    return torch.tensor([score(mine, its) for mine, its in zip(outputs, wanted, strict=True)], dtype=torch.float64)


def _check_boxes(found: Any, name: str, *, scored: bool) -> None:
    keys = ("boxes", "labels", "scores") if scored else ("boxes", "labels")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(key), Tensor) for key in keys):
        raise EvaluationError(f"{name}: a {type(found).__name__}; needed is a dict with tensors {', '.join(keys)}")
    count = len(found["boxes"])
    right = found["boxes"].shape == (count, 4) and all(found[key].shape == (count,) for key in keys[1:])
    if not right or not found["boxes"].is_floating_point() or found["labels"].is_floating_point():
        given = ", ".join(f"{key} {_kind(found[key])}" for key in keys)
        raise EvaluationError(
            f"{name}: {given}; needed are boxes float32 (k, 4), labels int64 (k,){', scores (k,)' if scored else ''}"
        )
    for key in keys:
        if not bool(torch.isfinite(found[key]).all()):
            raise EvaluationError(
                f"{name}: {key} hold NaN or infinite values; check the checkpoint and the images' normalisation"
            )


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
