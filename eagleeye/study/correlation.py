"""How well a score before fine-tuning tells the accuracy after it (paper, section 3.3).

Coefficients with confidence intervals from the bootstrap over candidates; how well one fine-tuning tells another, which
is about what a score can reach; and what choosing by a score costs.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eagleeye.errors import EvaluationError
from eagleeye.task import CLASSIFICATION, Task
from eagleeye.task.scores import VANILLA

Array = npt.NDArray[np.float64]
Coefficient = Callable[[Array, Array], Array]

FEWEST = 3
"""Candidates from which on a coefficient says anything."""
CEILING = "another fine-tuning"
"""Name of the row that says how well one fine-tuning tells another."""
AT_A_TIME = 200
"""Resamples in memory at a time: comparing all pairs of 50 candidates takes 4 MB for each hundred."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are found: candidates are drawn again, with replacement (percentile method).

    Of 50 candidates 95 % intervals hold the truth about that often, of a dozen somewhat less often.
    """

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0


class Estimate(NamedTuple):
    """A value with its interval; not a number where it is undefined, as without any spread."""

    value: float
    low: float
    high: float


def pearson(x: Array, y: Array) -> Array:
    """Pearson's coefficient along the last axis: how well a straight line describes the relation.

    Args:
        x: (..., n).
        y: (..., n).

    Returns:
        (...), NaN where one of both does not vary.
    """
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in (x, y))
    # Of equal numbers the mean is off by a rounding error: what is left is no spread.
    x, y = (np.where(np.ptp(each, axis=-1, keepdims=True) == 0, 0.0, each) for each in (x, y))
    return _ratio((x * y).sum(axis=-1), (x * x).sum(axis=-1), (y * y).sum(axis=-1))


def spearman(x: Array, y: Array) -> Array:
    """Spearman's coefficient along the last axis: Pearson's of the ranks, ties at their mean; see `pearson`."""
    from scipy import stats

    return pearson(stats.rankdata(x, axis=-1), stats.rankdata(y, axis=-1))


def kendall(x: Array, y: Array) -> Array:
    """Kendall's tau-b along the last axis: pairs in the same order less pairs in opposite order; see `pearson`."""
    first, second = (np.sign(each[..., :, None] - each[..., None, :]) for each in (x, y))
    shared = (first * second).sum(axis=(-2, -1))
    return _ratio(shared, np.abs(first).sum(axis=(-2, -1)), np.abs(second).sum(axis=(-2, -1)))


COEFFICIENTS: dict[str, Coefficient] = {"pearson": pearson, "spearman": spearman, "kendall": kendall}


def correlate(score: Array, accuracy: Array, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """All coefficients between a score and the accuracy after fine-tuning.

    Args:
        score: (n,).
        accuracy: (n,).
        bootstrap: How intervals are found.

    Returns:
        Estimate by coefficient.

    Raises:
        EvaluationError: There are too few candidates.
    """
    return {name: estimate(coefficient, [score, accuracy], bootstrap) for name, coefficient in COEFFICIENTS.items()}


def noise_ceiling(accuracies: Array, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """How well one fine-tuning tells another with the next seed: the mean over all pairs of seeds.

    Args:
        accuracies: After fine-tuning, (n, seeds), at least two seeds.
        bootstrap: How intervals are found.

    Returns:
        Estimate by coefficient.

    Raises:
        EvaluationError: There are too few candidates or seeds.
    """
    if accuracies.shape[1] < 2:
        raise EvaluationError(f"noise ceiling: {accuracies.shape[1]} fine-tuning per candidate; at least 2 are needed")

    def mean_of(coefficient: Coefficient) -> Callable[..., Array]:
        return lambda *seeds: np.mean([coefficient(x, y) for x, y in itertools.combinations(seeds, 2)], axis=0)

    return {name: estimate(mean_of(found), list(accuracies.T), bootstrap) for name, found in COEFFICIENTS.items()}


def regret(score: Array, accuracy: Array) -> Array:
    """What choosing by a score costs: the best accuracy less that of the candidate with the best score.

    Args:
        score: (..., n); of several candidates with the best score any may be chosen.
        accuracy: After fine-tuning, (..., n).

    Returns:
        (...), at least 0.
    """
    chosen = score == score.max(axis=-1, keepdims=True)
    return np.asarray(accuracy.max(axis=-1) - (accuracy * chosen).sum(axis=-1) / chosen.sum(axis=-1))


def mean_rank(scores: Sequence[Array]) -> Array:
    """Several scores as one: the mean of a candidate's ranks, the best candidate with the largest.

    Args:
        scores: Each (n,), larger is better.
    """
    from scipy import stats

    return np.asarray(np.mean([stats.rankdata(score) for score in scores], axis=0))


def oriented(table: pd.DataFrame, task: Task = CLASSIFICATION) -> dict[str, Array]:
    """All scores of a table so that larger is better, and combinations of them.

    Args:
        table: One row per candidate; columns named as in `eagleeye.task.Task.columns`, and `params`, the
            parameters kept: a yardstick that takes no image. Others are left aside.
        task: What the network is for.

    Returns:
        By column. `mean_rank` joins the scores with recalibration, if there are several, `accuracy_params`, or what
        else the task's first score is called, that score and the parameters.
    """
    scorers = task.scorers
    first = next(iter(scorers))
    signs = {kind + name: scorer.sign for kind in ("", VANILLA) for name, scorer in scorers.items()}
    found = {name: sign * table[name].to_numpy(np.float64) for name, sign in signs.items() if name in table}
    adaptive = [found[name] for name in scorers if name in found]
    if len(adaptive) > 1:
        found["mean_rank"] = mean_rank(adaptive)
    if "params" in table:
        found["params"] = table["params"].to_numpy(np.float64)
    if "params" in found and first in found:
        found[f"{first}_params"] = mean_rank([found[first], found["params"]])
    return found


def summarise(scores: Mapping[str, Array], accuracies: Array, bootstrap: Bootstrap) -> pd.DataFrame:
    """The whole answer as a table.

    Args:
        scores: By name, each (n,), larger is better.
        accuracies: After fine-tuning, (n, seeds); scores are compared with the mean over the seeds.
        bootstrap: How intervals are found.

    Returns:
        One row per score and measure: `score`, `measure` (pearson, spearman, kendall, regret), `value`, `low`, `high`.
        Where there are several seeds, `another fine-tuning` is the noise ceiling.

    Raises:
        EvaluationError: There are too few candidates.
    """
    mean = accuracies.mean(axis=1)
    rows = []
    for name, score in scores.items():
        found = correlate(score, mean, bootstrap) | {"regret": estimate(regret, [score, mean], bootstrap)}
        rows += [{"score": name, "measure": measure, **each._asdict()} for measure, each in found.items()]
    if accuracies.shape[1] > 1:
        ceiling = noise_ceiling(accuracies, bootstrap)
        rows += [{"score": CEILING, "measure": measure, **each._asdict()} for measure, each in ceiling.items()]
    return pd.DataFrame(rows)


def estimate(statistic: Callable[..., Array], columns: Sequence[Array], bootstrap: Bootstrap) -> Estimate:
    """A statistic of candidates with its interval.

    Args:
        statistic: Of the columns, along their last axis.
        columns: What is known of each candidate, each (n,).
        bootstrap: How the interval is found.

    Returns:
        The estimate. Resamples without any spread, of which a coefficient is undefined, do not count.

    Raises:
        EvaluationError: There are too few candidates.
    """
    if len(columns[0]) < FEWEST:
        raise EvaluationError(
            f"correlation: {len(columns[0])} candidates are too few; set correlation.candidates to {FEWEST} or more"
        )
    tail = (1 - bootstrap.level) / 2
    draws = _resampled(statistic, columns, bootstrap)
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (np.nan, np.nan)
    return Estimate(float(statistic(*columns)), float(low), float(high))


def _resampled(statistic: Callable[..., Array], columns: Sequence[Array], bootstrap: Bootstrap) -> Array:
    from scipy import stats

    def along_last(*samples: Array, axis: int) -> Array:
        return statistic(*(np.moveaxis(each, axis, -1) for each in samples))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found: Any = stats.bootstrap(
            tuple(columns),
            along_last,
            paired=True,
            vectorized=True,
            n_resamples=bootstrap.resamples,
            batch=AT_A_TIME,
            method="percentile",
            rng=np.random.default_rng(bootstrap.seed),
        )
    return np.asarray(found.bootstrap_distribution, dtype=np.float64)


def _ratio(shared: Array, first: Array, second: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(shared / np.sqrt(first * second))
