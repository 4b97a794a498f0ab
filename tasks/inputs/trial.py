"""A network from a checkpoint, tried on images that are prepared in other ways: is the preprocessing the right one?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from eagleeye.data import Batches, Images, Preprocess, decode
from eagleeye.data.normalise import usual_constants
from eagleeye.data.sizes import short_sides
from eagleeye.data.subset import SubsetImages
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.models.metadata import accuracy_told, read_texts
from eagleeye.scoring.chance import BETTER, chance_level, clearly_better
from eagleeye.scoring.evaluate import evaluate
from tasks.artifacts import SUB_VALIDATION
from tasks.inputs.images import choose_device, open_subset, preprocess
from tasks.params import Params

LOOKED_AT = 256  # sub-validation images that show how the network does
LARGEST = 256  # side of the inputs that are tried at most


def check_checkpoint(params: Params, network: nn.Module) -> None:
    """Check that a network that was trained elsewhere is right on the images as the settings prepare them.

    Args:
        params: The settings.
        network: The network with its weights.

    Raises:
        ConfigError: It is right on far more images if they are prepared otherwise.
        EvaluationError: It is no better than chance, however they are prepared.
    """
    images = open_subset(SUB_VALIDATION)
    network = network.to(choose_device(params.baseline.device)).eval()
    trial = _Trial(params, network, images)
    given = preprocess(params)
    if given is None:  # inputs, which can be prepared in no other way
        return
    right = trial.accuracy(given)
    if right <= 1 - BETTER and not params.data.confirmed:
        best, better = trial.best(given)
        if clearly_better(right, better, trial.count):
            raise ConfigError(
                f"the network is right on {right:.1%} of {trial.count} images as data.preprocess makes them, but on "
                f"{better:.1%} with {_changes(given, best)}: set it to what the network was trained with, "
                "or data.confirmed to true if it is meant"
            )
    labels = images.labels[: trial.count]
    if right <= chance_level(labels):
        raise EvaluationError(
            f"the network of model.checkpoint is right on {right:.2%} of {trial.count} sub-validation images, which is "
            "chance; likely causes: weights that are not trained, another order of classes (folders are numbered in "
            "alphabetical order), another data.preprocess"
        )


def check_expected(params: Params, right: float, images: int) -> None:
    """Check that the baseline does about as well as the settings say, or else its checkpoint.

    Args:
        params: The settings.
        right: Its accuracy on the sub-validation images, in [0, 1].
        images: How many these are.

    Raises:
        EvaluationError: It is right on far fewer images.
    """
    expected, source = _expected(params)
    if expected is not None and clearly_better(right, expected, images):
        raise EvaluationError(
            f"the network is right on {right:.2%} of {images} sub-validation images, but {source} says {expected:.2%};"
            " likely causes: another data.preprocess, order of classes or checkpoint; or set model.expected_accuracy to"
            " what it is to reach"
        )


def _expected(params: Params) -> tuple[float | None, str]:
    model = params.model
    if model.expected_accuracy is not None or model.checkpoint is None:
        return model.expected_accuracy, "model.expected_accuracy"
    return accuracy_told(read_texts(Path(model.checkpoint))), f"the metadata of {model.checkpoint}"


class _Trial:
    """Prepares some images in one way and another, and counts on how many the network is right."""

    def __init__(self, params: Params, network: nn.Module, images: SubsetImages) -> None:
        self.network = network
        self.images = images
        self.settings = params.baseline
        self.count = min(LOOKED_AT, len(images))

    def accuracy(self, shape: Preprocess, decoded: Images | None = None) -> float:
        batches = Batches(
            decoded or self.decode(shape),
            shape,
            batch_size=self.settings.batch_size,
            device=choose_device(self.settings.device),
            labelled=True,
        )
        return evaluate(self.network, batches).accuracy

    def decode(self, shape: Preprocess) -> Images:
        return decode(self.images, range(self.count), shape)

    def best(self, given: Preprocess) -> tuple[Preprocess, float]:
        """The best of the usual ways, and its accuracy."""
        sides = short_sides(self.images, range(self.count))
        found: list[tuple[float, Preprocess]] = []
        for sized in _sizes(given, int(np.median(sides)) if len(sides) else 0):
            decoded = self.decode(sized)
            found += [(self._attempt(shape, decoded), shape) for shape in _constants(sized, decoded)]
        better, best = max(found, key=lambda entry: entry[0])
        return best, better

    def _attempt(self, shape: Preprocess, decoded: Images) -> float:
        try:
            return self.accuracy(shape, decoded)
        # A network need not take other sizes than its own.
        except (EvaluationError, AssertionError):
            return 0.0


def _sizes(given: Preprocess, median: int) -> Iterator[Preprocess]:
    """The same constants, other sizes: up to that of the images."""
    yield given
    side = given.resize or given.size
    others = {min(median, LARGEST), *((side * 2**power for power in range(1, 5)) if side else (median // 2,))}
    for other in sorted(others):
        if 0 < other <= min(median, LARGEST) and other != side:
            yield replace(given, size=other, resize=other)


def _constants(given: Preprocess, decoded: Images) -> Iterator[Preprocess]:
    """The same size, other constants: the usual ones, and those of the images themselves."""
    yield given
    for mean, std in usual_constants(decoded.pixels.double() / 255):
        yield replace(given, mean=mean, std=std)


def _changes(given: Preprocess, best: Preprocess) -> str:
    names = [name for name in ("size", "resize", "mean", "std") if getattr(given, name) != getattr(best, name)]
    return ", ".join(f"{name} {_shown(getattr(best, name))}" for name in names)


def _shown(value: object) -> str:
    return str([round(entry, 3) for entry in value]) if isinstance(value, tuple) else str(value)
