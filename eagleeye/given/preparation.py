"""How images are prepared, as other libraries write it down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from eagleeye.data import Preprocess
from eagleeye.errors import ConfigError
from eagleeye.forward.wrappers import unwrapped

_NEEDED = (
    "needed is an eagleeye.data.Preprocess, a timm configuration (model.pretrained_cfg, or what"
    " timm.data.resolve_data_config returns), or the transforms of a torchvision weight (weights.transforms())"
)


def preprocess_of(source: Any) -> Preprocess:
    """Read how images are to be prepared.

    Interpolation is bilinear whatever the source says: pictures then differ from it by rounding and little more.

    Args:
        source: A `Preprocess`; a timm configuration, with input_size, mean, std and crop_pct; or the transforms that
            belong to a torchvision weight, with crop_size, resize_size, mean and std.

    Returns:
        The same as a `Preprocess`.

    Raises:
        ConfigError: It is nothing of these, or its values are out of range.
    """
    if isinstance(source, Preprocess):
        return source
    if isinstance(source, Mapping):
        return _of_timm(source)
    try:
        size, resize = (_first(getattr(source, name)) for name in ("crop_size", "resize_size"))
        return Preprocess(size=size, resize=resize, mean=tuple(source.mean), std=tuple(source.std))
    except (AttributeError, TypeError, IndexError) as error:
        raise ConfigError(
            f"preprocess: a {type(source).__name__} does not tell size, mean and std; {_NEEDED}"
        ) from error


def own_preprocess(model: nn.Module) -> Preprocess | None:
    """What a network of timm says about its images; None for others.

    Args:
        model: Any network.
    """
    config = getattr(unwrapped(model), "pretrained_cfg", None)
    return _of_timm(config) if isinstance(config, Mapping) and "input_size" in config else None


def _of_timm(config: Mapping[str, Any]) -> Preprocess:
    try:
        channels, height, width = config["input_size"]
        mean = tuple(config["mean"])
        std = tuple(config["std"])
        share = float(config.get("crop_pct") or 1)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"preprocess: {dict(config)!r:.200} lacks input_size, mean or std; {_NEEDED}") from error
    if height != width or not 0 < share <= 1:
        raise ConfigError(
            f"preprocess: input_size {(channels, height, width)} with crop_pct {share}; only squares cut from the whole"
            " image can be prepared: give a data set that prepares its images itself"
        )
    # One value stands for all channels where a network takes another number of them.
    mean, std = (values * channels if len(values) == 1 else values for values in (mean, std))
    return Preprocess(size=height, resize=math.floor(height / share), mean=mean, std=std)


def _first(value: Any) -> int:
    return int(value if isinstance(value, int) else value[0])
