"""subset: the training images that score candidates, drawn once with a seed and stored with their row numbers."""

from eagleeye.data import draw_subset, write_subset
from tasks.artifacts import CALIBRATION, SUB_VALIDATION
from tasks.context import Context
from tasks.images import open_images
from tasks.params import Params


def run(params: Params, context: Context) -> None:
    """Draw and store the calibration and the sub-validation images.

    Raises:
        DataError: The images are missing or damaged, a class is empty, or there are too few images.
    """
    train, _ = open_images(params)
    wanted = params.subset
    subset = draw_subset(
        train.labels,
        calibration=wanted.calibration,
        sub_validation=wanted.sub_validation,
        seed=wanted.seed,
        classes=train.classes,
    )
    write_subset(CALIBRATION, train, subset.calibration)
    write_subset(SUB_VALIDATION, train, subset.sub_validation)
    context.say(
        f"subset: {len(subset.calibration)} calibration and {len(subset.sub_validation)} sub-validation images "
        f"out of {len(train)} training images in {len(train.classes)} classes"
    )
