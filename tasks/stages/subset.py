"""subset: the training images that score candidates, drawn once with a seed and stored with their row numbers."""

import json

import numpy as np

from eagleeye.data import ImageSet, Preprocess, write_subset
from eagleeye.data.decoding import decoded
from eagleeye.data.images import Labels
from eagleeye.data.targets import Targeted, targets_of
from tasks.artifacts import CALIBRATION, COUNTS, SUB_VALIDATION, write_text
from tasks.inputs.images import drawn, open_images
from tasks.inputs.input_size import check_input_size
from tasks.inputs.preparation import Taken, take
from tasks.inputs.task import check_targets
from tasks.params import Params
from tasks.run.context import Context


def run(params: Params, context: Context) -> None:
    """Draw and store the calibration and the sub-validation images, and how images become inputs.

    Raises:
        CheckpointError: data.preprocess is auto, and the checkpoint is missing or tells what cannot be.
        ConfigError: The network's input is far smaller than the images, or these come without what the task takes.
        DataError: The images are missing or damaged, a class is empty, or there are too few images.
    """
    train, test = open_images(params)
    for line in (*getattr(train, "remarks", ()), *getattr(test, "remarks", ())):
        context.say(f"subset: {line}")
    check_targets(params, train)
    subset = drawn(params, train)
    rows = np.concatenate([subset.sub_validation, subset.calibration])
    taken = _taken(params, train, rows, context)
    check_input_size(params, taken.shape, train, rows, context)
    _require_sound(train, rows, taken.shape)
    taken.write()
    write_subset(CALIBRATION, train, subset.calibration)
    write_subset(SUB_VALIDATION, train, subset.sub_validation)
    write_text(COUNTS, json.dumps({"train": len(train), "test": len(test)}) + "\n")
    context.say(
        f"subset: {len(subset.calibration)} calibration and {len(subset.sub_validation)} sub-validation images "
        f"out of {len(train)} training images{_classes(train)}"
    )


def _classes(train: ImageSet) -> str:
    return f" in {len(train.classes)} classes" if train.classes and not isinstance(train, Targeted) else ""


def _taken(params: Params, train: ImageSet, rows: Labels, context: Context) -> Taken:
    taken = take(params, train, rows)
    if params.data.preprocess == "auto":
        context.say(f"subset: data.preprocess auto: {taken}")
    if taken.measured and params.model.checkpoint is not None:
        context.warn(
            f"nothing tells how images were prepared for {params.model.checkpoint}: what was measured is a guess; set"
            " data.preprocess if it was trained otherwise"
        )
    return taken


def _require_sound(train: ImageSet, rows: Labels, shape: Preprocess | None) -> None:
    """Decode the drawn images while their own files can be named: later stages know the copies alone."""
    for _ in decoded(train, rows, shape):
        pass
    targets_of(train, rows, shape)
