"""How images become inputs where the settings leave it to what is known: `data.preprocess: auto`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from eagleeye.data import ImageSet, Preprocess, decode
from eagleeye.data.samples import Samples
from eagleeye.data.sizes import LOOKED_AT, short_sides
from eagleeye.errors import ConfigError
from eagleeye.given.preparation import own_preprocess, preprocess_of
from eagleeye.models import build
from eagleeye.models.build import published_weights
from eagleeye.models.metadata import preprocess_told, read_texts
from tasks.artifacts import PREPROCESS, write_text
from tasks.inputs.images import facts_of, prepared, settled
from tasks.params import Params

# Larger images are scaled down to what most networks are trained with.
LARGEST = 256
USUAL_SIZE = 224
USUAL_RESIZE = 256
DIGITS = 4  # of mean and std; finer than any effect on a network


@dataclass(frozen=True)
class Taken:
    """How images become inputs, and who says so."""

    shape: Preprocess | None
    """None: the source gives inputs."""
    source: str
    measured: bool = False

    def write(self) -> None:
        """Keep it for the later stages."""
        write_text(PREPROCESS, json.dumps({**facts_of(self.shape), "taken_from": self.source}, indent=2) + "\n")

    def __str__(self) -> str:
        """One line."""
        return f"{', '.join(f'{name} {_shown(value)}' for name, value in facts_of(self.shape).items())} ({self.source})"


def take(params: Params, images: ImageSet, rows: Sequence[int] | np.ndarray) -> Taken:
    """How images become inputs, by the settings, or else by the first of these that tells.

    The checkpoint's metadata; the configuration that a network of timm has; that of torchvision's weights for the
    model of `model.name`; the training images themselves. A network that is trained here knows the last alone.

    Args:
        params: The settings.
        images: The training images.
        rows: Those to measure.

    Raises:
        CheckpointError: The checkpoint is missing, or its metadata cannot be.
        ConfigError: The images cannot be prepared as a configuration says, or are inputs that need no preparation.
        DataError: An image cannot be decoded.
        ModelError: The network cannot be built.
    """
    if isinstance(images, Samples) is not prepared(params):
        raise ConfigError(_mismatch(params, isinstance(images, Samples)))
    if (given := settled(params)) is not None or prepared(params):
        return Taken(given, "params.yaml")
    network = build(params.model.name, **{"num_classes": len(images.classes) or None} | params.model.options)
    if params.model.checkpoint is None:
        return _measured(images, rows[:LOOKED_AT], _channels(network))
    path = Path(params.model.checkpoint)
    if told := preprocess_told(read_texts(path), path):
        return Taken(told, f"metadata of {path}")
    if told := own_preprocess(network):
        return Taken(told, f"timm's configuration of {params.model.name}")
    if weights := published_weights(params.model.name, path.name):
        return Taken(preprocess_of(weights.transforms()), f"torchvision's {weights}")
    return _measured(images, rows[:LOOKED_AT], _channels(network))


def _mismatch(params: Params, inputs: bool) -> str:
    if inputs:
        return (
            f"data.source {params.data.source} gives tensors as the network takes them, which are not prepared again:"
            " set data.preprocess to none"
        )
    return (
        f"data.preprocess is none, but data.source {params.data.source} gives pictures: set it to auto, or to size,"
        " resize, mean and std"
    )


def _channels(network: nn.Module) -> int:
    """How many channels a network's first convolution takes."""
    return next((layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)), 3)


def _measured(images: ImageSet, rows: Sequence[int] | np.ndarray, channels: int) -> Taken:
    sides = short_sides(images, rows)
    sized: dict[str, Any] = {}
    if len(sides):
        side = int(np.median(sides))
        sized = {"size": USUAL_SIZE, "resize": USUAL_RESIZE} if side > LARGEST else {"size": side, "resize": side}
    plain = Preprocess(**sized, mean=(0.0,) * channels, std=(1.0,) * channels)
    pixels = decode(images, list(rows), plain).pixels.double() / 255
    each = pixels.permute(1, 0, 2, 3).flatten(1)
    if float(each.std()) == 0:
        raise ConfigError(
            f"data.preprocess is auto, but all {len(rows)} images that were measured are of one colour: set size,"
            " resize, mean and std, or mend the images"
        )
    mean = each.mean(1).tolist()
    std = each.std(1).clamp_min(1 / 255).tolist()
    shape = Preprocess(**sized, mean=_rounded(mean), std=_rounded(std))
    return Taken(shape, f"measured on {len(rows)} training images", measured=True)


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(value, DIGITS) for value in values)


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
