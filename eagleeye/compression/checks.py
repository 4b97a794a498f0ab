"""What is wrong with a network, or with the images it is shown, before anything is searched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.compression.division import Division
from eagleeye.data import Batches, Preprocess
from eagleeye.data.images import Targets
from eagleeye.data.normalise import usual_constants
from eagleeye.data.sizes import FAR_SMALLER, SMALLER, times_smaller
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.forward.structures import tensors
from eagleeye.given.collection import Pictures
from eagleeye.scoring.chance import chance_level, clearly_better
from eagleeye.scoring.evaluate import evaluate
from eagleeye.task import Task

LOOKED_AT = 256
"""Sub-validation images that show how the network does."""
AT_A_TIME = 16
LARGE = 20.0
"""Normalised values do not get that large: bytes do."""


def check_size(division: Division, preprocess: Preprocess | None, confirmed: bool) -> list[str]:
    """Compare the network's input with the pictures.

    Args:
        division: The images.
        preprocess: How pictures become inputs.
        confirmed: Whether an input far smaller than they are is meant.

    Returns:
        What the user should know.

    Raises:
        ConfigError: The input is far smaller than the pictures.
    """
    part = division.sub_validation
    if preprocess is None or confirmed or not isinstance(part.images, Pictures):
        return []
    side = preprocess.resize or preprocess.size
    median, times = times_smaller(part.images.images, part.rows, side)
    if times < SMALLER:
        return []
    line = (
        f"preprocess makes inputs of {side} pixels from images of {median} (the short side, median), as if it were left"
        " from other data: set size, resize, mean and std to what the network was trained with"
    )
    if times >= FAR_SMALLER:
        raise ConfigError(f"{line}, or confirmed=True if it is meant")
    return [line]


def check_network(
    model: nn.Module,
    images: Batches[tuple[Tensor, Tensor]],
    preprocess: Preprocess | None,
    task: Task,
    confirmed: bool,
) -> list[str]:
    """Check that a network knows something of the images that it is shown.

    Args:
        model: The trained network.
        images: Sub-validation images, with their labels where these are known.
        preprocess: How their pixels became inputs; None: they were given as inputs.
        task: What the network is for.
        confirmed: Whether the normalisation is meant, even if the network does better with another one.

    Returns:
        What the user should know.

    Raises:
        ConfigError: It is right on far more images if they are normalised otherwise.
        EvaluationError: Its outputs are not of this task or do not fit the targets, are the same for all images, or it
            classifies no better than chance.
    """
    some = images.first(LOOKED_AT)
    inputs, labels = some.part(0, len(some.labels))
    large = float(inputs.abs().max())
    said = [f"inputs have values up to {large:.0f}, as if they were not normalised"] if large > LARGE else []
    if task.targets != "class":
        _require_variety(model, inputs, labels, task)
        return said
    accuracy = evaluate(model, [(inputs, labels)]).accuracy
    if not images.labels_known:
        _require_answers(model, inputs)
        return said
    if accuracy < 0.9 and not confirmed and inputs.dim() == 4:
        _try_otherwise(model, inputs.float(), labels, accuracy, preprocess)
    if accuracy <= chance_level(labels.cpu().numpy()):
        raise EvaluationError(
            f"the network is right on {accuracy:.2%} of {len(labels)} sub-validation images, which is chance; likely"
            " causes: weights that are not trained, another order of classes (folders are numbered in alphabetical"
            f" order), inputs that are not normalised as in training{f' ({said[0]})' if said else ''}"
        )
    return said


def check_labels(model: nn.Module, example: Tensor, division: Division, task: Task) -> None:
    """Check that the network has an output for every class, where images have one each.

    Args:
        model: The trained network.
        example: One input.
        division: The images.
        task: What the network is for.

    Raises:
        EvaluationError: It has none, or its outputs are no class scores.
    """
    if task.targets != "class":
        return
    with evaluating(model), torch.inference_mode():
        outputs = run(model, example)
    for part in (division.sub_validation, division.training):
        labels = part.images.labels
        highest = 0 if labels is None else int(labels.max())
        task.check(outputs, torch.tensor([highest]))


def _require_variety(model: nn.Module, inputs: Tensor, targets: Targets, task: Task) -> None:
    """Images that the network tells apart, and outputs that fit their targets."""
    found: list[list[Tensor]] = []
    with evaluating(model), torch.inference_mode():
        for start in range(0, len(inputs), AT_A_TIME):
            images, wanted = (each[start : start + AT_A_TIME] for each in (inputs, targets))
            outputs = run(model, images)
            task.check(outputs, wanted)
            found.append(_sums(outputs, task))
    sums = [torch.cat(parts) for parts in zip(*found, strict=True)]
    if len(inputs) > 1 and sums and all(bool((each == each[0]).all()) for each in sums):
        raise EvaluationError(
            f"the network's outputs are the same for all of {len(inputs)} images, so that comparing with them says"
            " nothing; likely causes: weights that are not trained, inputs that are not normalised as in training"
        )


def _sums(outputs: Any, task: Task) -> list[Tensor]:
    """A number for every image and tensor of outputs; of lists, one for every image."""
    if task.listed:
        return [torch.tensor([sum(float(tensor.double().sum()) for tensor in tensors(each)) for each in outputs])]
    return [tensor.flatten(1).double().sum(1).cpu() for tensor in tensors(outputs) if tensor.dim() > 1]


def _require_answers(model: nn.Module, inputs: Tensor) -> None:
    with evaluating(model), torch.inference_mode():
        answers = run(model, inputs).argmax(1)
    if len(answers) > 1 and bool((answers == answers[0]).all()):
        raise EvaluationError(
            f"the network's answer is class {int(answers[0])} for all of {len(answers)} images, so that agreement with"
            " it says nothing; likely causes: weights that are not trained, inputs that are not normalised as in"
            " training"
        )


def _try_otherwise(
    model: nn.Module, inputs: Tensor, labels: Tensor, accuracy: float, preprocess: Preprocess | None
) -> None:
    found = [(_accuracy(model, other, labels), words) for other, words in _otherwise(inputs, preprocess)]
    better, words = max(found, key=lambda entry: entry[0])
    if clearly_better(accuracy, better, len(labels)):
        given = "they are given" if preprocess is None else "preprocess makes them"
        raise ConfigError(
            f"the network is right on {accuracy:.1%} of {len(labels)} images as {given}, but on {better:.1%} with"
            f" {words}: prepare them as the network was trained, or say confirmed=True if it is meant"
        )


def _accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    try:
        return evaluate(model, [(inputs, labels)]).accuracy
    except EvaluationError:  # what a network makes of other values may be infinite
        return 0.0


def _otherwise(inputs: Tensor, preprocess: Preprocess | None) -> Iterator[tuple[Tensor, str]]:
    """The same images normalised in the usual ways."""
    if preprocess is not None:
        mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(inputs) for values in (preprocess.mean, preprocess.std))
        origins = [(inputs * std + mean, "")]
    else:
        origins = [(inputs, ""), (inputs / 255, " of values divided by 255")]
    for pixels, of in origins:
        for constants in usual_constants(pixels):
            mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(inputs) for values in constants)
            shown = (str([round(value, 3) for value in values]) for values in constants)
            yield (pixels - mean) / std, "mean {} and std {}".format(*shown) + of
