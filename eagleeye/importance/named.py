"""Criteria by name, a user's own among them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from eagleeye.channels.groups import Group
from eagleeye.channels.space import Space
from eagleeye.errors import ConfigError, EagleEyeError, StrategyError, none_of
from eagleeye.importance.filters import filter_rows, geometric_median, l1, l2, scale_rows
from eagleeye.importance.ranked import AGGREGATES, Aggregate, Criterion, Importance, RowScore, RowsOf, ranked
from eagleeye.importance.taylor import LabelledBatches, taylor_rows
from eagleeye.reconstruction import reconstruct
from eagleeye.references import described, resolve

_OF_WEIGHTS: dict[str, tuple[RowsOf, RowScore]] = {
    "l1": (filter_rows, l1),
    "l2": (filter_rows, l2),
    "bn_scale": (scale_rows, l1),
    "geometric_median": (filter_rows, geometric_median),
}
_NAMES = (*_OF_WEIGHTS, "taylor", "obs", "random")


def criterion(name: str, *, aggregate: str = "sum", seed: int = 0, batches: LabelledBatches | None = None) -> Criterion:
    """Find an importance criterion.

    Scores are compared within a group alone. Where one convolution has several filters for a channel (groups of
    filters that go as a whole), these count as one filter.

    Args:
        name: How much a filter matters:

            - `l1`: sum of its absolute weights (Li et al., ICLR 2017); `l2`: its Euclidean norm;
            - `bn_scale`: absolute scale (gamma) of the batch normalisations that the group's channels pass (Liu et al.,
              ICCV 2017);
            - `geometric_median`: sum of its distances to all other filters of the convolution (He et al., CVPR 2019);
            - `taylor`: sum of `|weight x gradient|`, the gradient that of the mean cross-entropy over `batches` in
              evaluation mode (after Molchanov et al., CVPR 2019);
            - `obs`: what its removal costs the layers that read it, once they are refitted to what is left, measured on
              `batches` (the `order` of `eagleeye.reconstruct`; Hassibi and Stork, NIPS 1992);
            - `random`: a draw from [0, 1) for each channel;
            - `package.module:function` for your own. That is called as `function(model, space)` and returns one
              array of numbers for each of `space.groups`, in the order of the first convolution's filters, the
              larger the more important.
        aggregate: One score where several layers share a channel (tied convolutions, or normalisations in a row):
            `sum` of the scores as they are; `mean` or `max` of the scores, each divided by the mean over its layer;
            `first`: the layer that is executed first decides. `obs`, `random` and your own score whole groups: leave
            `sum`.
        seed: Of `random`: same seed, same scores.
        batches: For `taylor` and `obs`: pairs of normalised float tensors (n, C, H, W) and int64 labels (n,), on the
            network's device, iterated over whenever the criterion is asked.

    Returns:
        A function that gives, per group, the importance of each channel, float64. It raises StrategyError where
        scores do not fit the groups or are not finite.

    Raises:
        ConfigError: A name is unknown, there is no such function, `seed` is negative, or `batches` are missing.

    Example:
        >>> l2 = eagleeye.criterion("l2", aggregate="mean")
        >>> [len(scores) for scores in l2(network, space)] == list(space.channels)
        True
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups), criterion=l2)
    """
    _check_known("aggregate", aggregate, AGGREGATES)
    if (":" in name or name in ("obs", "random")) and aggregate != "sum":
        raise ConfigError(f"aggregate: {aggregate!r} has no effect on criterion {name}, which scores whole groups")
    if ":" in name:
        return partial(_checked, name, partial(_own, name, resolve(name, ConfigError)))
    _check_known("criterion", name, _NAMES, "package.module:function")
    return partial(_checked, name, _built_in(name, AGGREGATES[aggregate], seed, batches))


def _built_in(name: str, join: Aggregate, seed: int, batches: LabelledBatches | None) -> Criterion:
    if name == "random":
        if seed < 0:
            raise ConfigError(f"seed: {seed} is negative; criterion random needs 0 or more")
        return partial(_random, seed)
    if name in ("taylor", "obs"):
        if batches is None:
            raise ConfigError(f"criterion {name}: it needs calibration batches; give `batches`")
        return partial(ranked, partial(taylor_rows, batches), l1, join) if name == "taylor" else partial(_obs, batches)
    return partial(ranked, *_OF_WEIGHTS[name], join)


def _obs(batches: LabelledBatches, model: nn.Module, space: Space) -> list[Importance]:
    return reconstruct(model, space, (inputs for inputs, _ in batches)).order(model, space)


def _random(seed: int, model: nn.Module, space: Space) -> list[Importance]:
    rng = np.random.default_rng(seed)
    return [rng.random(group.channels) for group in space.groups]


def _own(name: str, function: Callable[..., Any], model: nn.Module, space: Space) -> Any:
    try:
        return function(model, space)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise StrategyError(f"criterion {name} failed: {described(cause)}") from cause


def _checked(name: str, score: Callable[[nn.Module, Space], Any], model: nn.Module, space: Space) -> list[Importance]:
    found = score(model, space)
    try:
        count = len(found)
    except TypeError:
        count = -1
    if count != len(space.groups) or isinstance(found, (dict, str)):
        given = type(found).__name__ + (f" of {count} entries" if count >= 0 else "")
        raise StrategyError(
            f"criterion {name} returned {given}; needed is a list of {len(space.groups)} arrays, one for each group"
        )
    return [_array(name, group, scores) for group, scores in zip(space.groups, found, strict=True)]


def _array(name: str, group: Group, scores: Any) -> Importance:
    try:
        array = np.array(scores.detach().double().cpu() if isinstance(scores, Tensor) else scores, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise StrategyError(
            f"criterion {name}: scores of group '{group.name}' are no array of numbers: {described(cause)}"
        ) from cause
    if array.shape != (group.channels,):
        raise StrategyError(
            f"criterion {name}: scores of group '{group.name}' have shape {array.shape}; needed is ({group.channels},)"
        )
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise StrategyError(
            f"criterion {name}: the score of channel {wrong[0]} of group '{group.name}' is {array[wrong[0]]};"
            " scores are finite numbers"
        )
    return array


def _check_known(setting: str, value: str, known: Collection[str], also: str = "") -> None:
    if value not in known:
        raise ConfigError(f"{setting} {none_of(value, known, also)}")
