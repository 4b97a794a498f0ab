"""Filter pruning: a genuinely smaller network for a strategy (method, step 2)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
from torch import nn

from eagleeye.channels.core import apart, core_inputs, with_core
from eagleeye.channels.plain import plain
from eagleeye.channels.space import Rates, Space
from eagleeye.errors import ConfigError
from eagleeye.forward.inputs import Inputs
from eagleeye.importance import Criterion, l1_norm
from eagleeye.own_module import take_over
from eagleeye.strategies import Strategy
from eagleeye.thin import build_thin, check_fits, check_widths

if TYPE_CHECKING:
    from eagleeye.reconstruction import Reconstruction

Network = TypeVar("Network", bound=nn.Module)


@overload
def prune(
    model: nn.Module,
    space: Space,
    strategy: Strategy | Rates,
    *,
    criterion: Criterion = l1_norm,
    refit: Reconstruction | None = None,
    in_turn: Inputs | None = None,
) -> nn.Module: ...


@overload
def prune(
    model: Network,
    space: Space,
    strategy: Strategy | Rates,
    *,
    criterion: Criterion = l1_norm,
    refit: Reconstruction | None = None,
    in_turn: Inputs | None = None,
    inplace: Literal[True],
) -> Network: ...


def prune(
    model: nn.Module,
    space: Space,
    strategy: Strategy | Rates,
    *,
    criterion: Criterion = l1_norm,
    refit: Reconstruction | None = None,
    in_turn: Inputs | None = None,
    inplace: bool = False,
) -> nn.Module:
    """Remove the least important filters of every group; the result is a genuinely smaller network.

    Its BN statistics are still the full network's, which are wrong for it: re-estimate them with `adapt_batch_norm`, or
    train it, before it is used or saved. `Engine.network` gives a candidate as it was scored.

    Args:
        model: The network that `space` was traced from (or one of the same architecture). Left untouched unless
            `inplace`.
        space: From `trace`.
        strategy: A strategy, or one rate in [0, 1] per group, in group order.
        criterion: Importance of every group's channels; the least important go first.
        refit: From `reconstruct`, with this model: layers that lose inputs are refitted to do without them.
        in_turn: Calibration images as one batch, on the network's device; they need `refit`. All layers are refitted
            once more, one after another, to what each reads in the pruned network itself. It takes seconds, which pay
            before fine-tuning.
        inplace: Cut the tensors of `model` itself, which keeps its class, code and attributes, and stays in whatever
            framework it is at home in. Its parameters stay the objects they are; optimisers have to be made anew, since
            what they remember has other shapes. Numbers of channels that its code repeats outside of layers of
            `torch.nn` are not changed. Whether its own code then computes what the new network would is tried on a
            copy first, in evaluation mode; that it runs in training mode, too.

    Returns:
        `model` itself where it is cut in place. Otherwise a new network on the same device and in the same mode, its
        state-dict keys those of `model` (a layer whose name is a keyword, or taken by `torch.fx`, has a `_` behind it:
        `graph_`); weights that `model` computes from others (standardised, parametrised or masked ones) are computed
        once and kept as such. It is a `torch.fx.GraphModule`; where the space has a core, a copy of `model` with one
        in the core's place.

    Raises:
        StrategyError: The strategy or the model does not fit the space.
        ConfigError: `in_turn` without `refit`.
        EvaluationError: The network does not take the images of `in_turn`.
        ModelError: Its own code does not go on with these widths `inplace`: it holds numbers of channels, splits into
            parts that lost different numbers, or computes weights; the message names the line. It is as it was.

    Example:
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
        >>> eagleeye.cost(thin, torch.zeros(1, 3, 32, 32))
        Cost(macs=10248512, params=68050)
    """
    if in_turn is not None and refit is None:
        raise ConfigError("in_turn: it needs what was measured in the trained network; give refit, from reconstruct()")
    own, alone = apart(model, space)
    core = plain(own)
    widths = strategy.widths if isinstance(strategy, Strategy) else space.widths_of(strategy)
    check_widths(space, widths)
    check_fits(core, space)
    order = order_of(core, alone, criterion)
    chosen = first_of(order, widths)
    thin = build_thin(core, space, chosen)
    if refit is not None:
        refit.check(core)
        for name, tensor in refit.refit(order).tensors(space.kept(chosen)).items():
            operator.attrgetter(name)(thin).data = tensor
        if in_turn is not None:
            refit.in_turn(thin, space.kept(chosen), core_inputs(model, space.core, in_turn))
    if not inplace:
        return with_core(model, space.core, thin)
    take_over(own, thin, alone)
    return model


def choose(
    model: nn.Module, space: Space, widths: Sequence[int], criterion: Criterion = l1_norm
) -> list[npt.NDArray[np.bool_]]:
    """Which channels of every group stay: the `width` most important, the earlier filter first where equal.

    Args:
        model: The network whose filters are ranked.
        space: Its search space.
        widths: Channels left per group.
        criterion: Importance of every group's channels.

    Returns:
        Per group a mask over its channels.

    Raises:
        StrategyError: The widths do not fit the space.
    """
    model, space = apart(model, space)
    model = plain(model)
    check_widths(space, widths)
    check_fits(model, space)
    return first_of(order_of(model, space, criterion), widths)


def order_of(model: nn.Module, space: Space, criterion: Criterion) -> list[npt.NDArray[np.int64]]:
    """Every group's channels, the most important first, the earlier filter first where equal.

    Args:
        model: The network whose filters are ranked.
        space: Its search space.
        criterion: Importance of every group's channels.

    Returns:
        Per group, shape (channels,).
    """
    return [np.argsort(-scores, kind="stable") for scores in criterion(plain(model), space)]


def first_of(order: Sequence[npt.NDArray[np.int64]], widths: Sequence[int]) -> list[npt.NDArray[np.bool_]]:
    """The first channels of every group, as masks.

    Args:
        order: From `order_of`.
        widths: Channels left per group.

    Returns:
        Per group, whether a channel stays.
    """
    chosen = []
    for best, width in zip(order, widths, strict=True):
        mask = np.zeros(len(best), dtype=bool)
        mask[best[:width]] = True
        chosen.append(mask)
    return chosen
