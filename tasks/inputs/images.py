"""What several stages begin with: the images that the settings describe, and the device to put them on."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eagleeye.data import Images, ImageSet, Preprocess, Subset, decode, draw_subset, open_source, read_subset
from eagleeye.data.subset import SubsetImages
from eagleeye.data.targets import Targeted
from eagleeye.errors import ArtifactError, ConfigError
from tasks.artifacts import PREPROCESS, require
from tasks.params import Params


def open_images(params: Params) -> tuple[ImageSet, ImageSet]:
    """Open the training and the test images.

    Raises:
        ConfigError: The source's options do not fit it.
        DataError: The images are missing, damaged or contradictory.
    """
    return open_source(params.data.source, **params.data.options)


def drawn(params: Params, train: ImageSet) -> Subset:
    """The calibration and sub-validation images that the settings ask for.

    Args:
        params: The settings.
        train: The training images.

    Raises:
        DataError: A class is empty, or there are too few images.
    """
    wanted = params.subset
    return draw_subset(
        train.labels,
        calibration=wanted.calibration,
        sub_validation=wanted.sub_validation,
        seed=wanted.seed,
        classes=() if isinstance(train, Targeted) else train.classes,
    )


def settled(params: Params) -> Preprocess | None:
    """How an image becomes the network's input, by the settings alone; None where they leave it open, or nothing does.

    Raises:
        ConfigError: A value is out of range.
    """
    given = params.data.preprocess
    if isinstance(given, str):
        return None
    return Preprocess(size=given.size, resize=given.resize, mean=given.mean, std=given.std)


def prepared(params: Params) -> bool:
    """Whether the source gives tensors as the network takes them."""
    return params.data.preprocess == "none"


def preprocess(params: Params) -> Preprocess | None:
    """How an image becomes the network's input: by the settings, or as the subset stage has taken it.

    Returns:
        None where the source gives inputs.

    Raises:
        ArtifactError: The settings leave it open and the subset stage has not run, or its record is damaged.
    """
    if (given := settled(params)) is not None or prepared(params):
        return given
    require(PREPROCESS)
    try:
        told = json.loads(PREPROCESS.read_text(encoding="utf-8"))
        return Preprocess(**{name: told[name] for name in ("size", "resize", "mean", "std")})
    except (OSError, ValueError, TypeError, LookupError, ConfigError) as error:
        raise ArtifactError(f"{PREPROCESS} is damaged ({error}): delete it and run `dvc repro`") from error


def facts_of(shape: Preprocess | None) -> dict[str, Any]:
    """Size and constants by name; nothing where images are inputs already."""
    return {} if shape is None else asdict(shape)


def open_subset(path: Path) -> SubsetImages:
    """Open one of the two subsets.

    Raises:
        ArtifactError: The subset stage has not run.
        DataError: The file is damaged.
    """
    require(path)
    return read_subset(path)


def load_subset(params: Params, path: Path) -> tuple[Images, SubsetImages]:
    """Decode one of the two subsets.

    Args:
        params: The settings.
        path: The subset's file.

    Returns:
        The decoded images, and the set they were decoded from.
    """
    subset = open_subset(path)
    return decode(subset, None, preprocess(params)), subset


def training_rows(count: int, sub_validation: Sequence[int] | np.ndarray) -> np.ndarray:
    """Rows of the training set to train on: all but the sub-validation images, which choose the best epoch."""
    return np.setdiff1d(np.arange(count), np.asarray(sub_validation))


def choose_device(name: str) -> torch.device:
    """The device that a setting names.

    Args:
        name: auto, cpu or cuda.

    Raises:
        ConfigError: cuda is asked for and not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device is cuda, but PyTorch sees no GPU here: set it to auto or cpu, or mend the driver")
    return torch.device("cuda" if name != "cpu" and available else "cpu")
