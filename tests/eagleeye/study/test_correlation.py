"""Correlation against SciPy, brute force and simulations with a known truth."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eagleeye.errors import EvaluationError
from eagleeye.study import correlation
from eagleeye.study.correlation import CEILING, COEFFICIENTS, Bootstrap, Estimate, estimate

QUICK = Bootstrap(resamples=200)
# Few different values: many ties.
values = st.lists(st.integers(0, 6).map(float), min_size=3, max_size=12)
columns = values.flatmap(lambda x: st.tuples(st.just(x), st.permutations(x[: len(x) // 2] + x[len(x) // 2 :][::-1])))


def pairs(rho: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, rho], [rho, 1]], count)
    return drawn[:, 0].copy(), drawn[:, 1].copy()


def tau_b(x: list[float], y: list[float]) -> float:
    concordant = discordant = tied_x = tied_y = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2):
        tied_x, tied_y = tied_x + (a == c), tied_y + (b == d)
        concordant += (a - c) * (b - d) > 0
        discordant += (a - c) * (b - d) < 0
    every = len(x) * (len(x) - 1) / 2
    below = math.sqrt((every - tied_x) * (every - tied_y))
    return (concordant - discordant) / below if below else math.nan


@given(columns)
def test_coefficients_are_those_of_scipy_and_of_counting_pairs(case: tuple[list[float], list[float]]) -> None:
    x, y = map(np.array, case)
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(stats.ConstantInputWarning)
        wanted = {
            "pearson": stats.pearsonr(x, y).statistic,
            "spearman": stats.spearmanr(x, y).statistic,
            "kendall": stats.kendalltau(x, y).statistic,
        }
    for name, coefficient in COEFFICIENTS.items():
        np.testing.assert_allclose(coefficient(x, y), wanted[name], atol=1e-12, err_msg=name)
    np.testing.assert_allclose(COEFFICIENTS["kendall"](x, y), tau_b(*case), atol=1e-12)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_many_samples_at_once_are_the_samples_one_by_one(name: str) -> None:
    x, y = np.random.default_rng(0).integers(0, 5, (2, 7, 9)).astype(float)
    wanted = [COEFFICIENTS[name](a, b) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(COEFFICIENTS[name](x, y), wanted)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_equal_numbers_correlate_with_nothing(name: str) -> None:
    found = estimate(COEFFICIENTS[name], [np.full(10, 0.1), np.arange(10.0)], QUICK)
    assert np.isnan(found).all()


def test_resamples_without_spread_do_not_count() -> None:
    score = np.array([0.0, 0.0, 0.0, 1.0])  # of 4 drawn anew, a third holds equal numbers only
    found = estimate(COEFFICIENTS["spearman"], [score, np.array([1.0, 2.0, 3.0, 4.0])], QUICK)
    assert np.isfinite(found).all()
    assert found.low <= found.value <= found.high


@given(columns, st.integers(0, 3))
def test_an_interval_lies_within_the_coefficients_range(case: tuple[list[float], list[float]], seed: int) -> None:
    x, y = map(np.array, case)
    for found in correlation.correlate(x, y, Bootstrap(50, seed=seed)).values():
        if np.isfinite(found).all():
            assert -1 - 1e-12 <= found.low <= found.high <= 1 + 1e-12


@pytest.mark.parametrize(("rho", "count", "fewest"), [(0.3, 50, 82), (0.8, 50, 82), (0.8, 12, 74)])
def test_intervals_hold_the_truth_as_often_as_they_say(rho: float, count: int, fewest: int) -> None:
    truth = {"pearson": rho, "spearman": 6 / np.pi * np.arcsin(rho / 2), "kendall": 2 / np.pi * np.arcsin(rho)}
    hits = dict.fromkeys(truth, 0)
    for seed in range(100):
        found = correlation.correlate(*pairs(rho, count, seed), Bootstrap(200, level=0.9, seed=seed))
        for name, wanted in truth.items():
            hits[name] += found[name].low <= wanted <= found[name].high
    assert all(fewest <= hit <= 98 for hit in hits.values()), hits


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    x, y = pairs(0.5, 20, 0)
    first, again, other = (correlation.correlate(x, y, Bootstrap(100, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first["pearson"].low != other["pearson"].low
    narrow = correlation.correlate(x, y, Bootstrap(100, level=0.5))["pearson"]
    assert first["pearson"].low < narrow.low < narrow.high < first["pearson"].high


def test_the_ceiling_is_the_mean_over_all_pairs_of_seeds() -> None:
    accuracies = np.random.default_rng(3).normal(size=(15, 1)) + np.random.default_rng(4).normal(size=(15, 3))
    found = correlation.noise_ceiling(accuracies, QUICK)
    wanted = [stats.spearmanr(accuracies[:, a], accuracies[:, b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    assert found["spearman"].value == pytest.approx(np.mean(wanted))
    # Signal and noise of the same size: two fine-tunings correlate by one half.
    many = np.random.default_rng(5).normal(size=(4000, 1)) + np.random.default_rng(6).normal(size=(4000, 2))
    assert float(correlation.pearson(many[:, 0], many[:, 1])) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(EvaluationError, match="1 fine-tuning per candidate"):
        correlation.noise_ceiling(accuracies[:, :1], QUICK)


@given(columns)
def test_regret_is_what_looking_it_up_gives(case: tuple[list[float], list[float]]) -> None:
    score, accuracy = case
    tied = [a for s, a in zip(score, accuracy, strict=True) if s == max(score)]
    found = float(correlation.regret(np.array(score), np.array(accuracy)))
    assert found == pytest.approx(max(accuracy) - sum(tied) / len(tied))
    assert float(correlation.regret(np.array(accuracy), np.array(accuracy))) == 0


@given(columns)
def test_the_mean_of_ranks_keeps_an_order_that_all_scores_share(case: tuple[list[float], list[float]]) -> None:
    x = np.array(case[0])
    for joined in (correlation.mean_rank([x, x]), correlation.mean_rank([x, 3 * x + 1])):
        assert (np.sign(joined[:, None] - joined) == np.sign(x[:, None] - x)).all()


def test_scores_are_turned_so_that_larger_is_better() -> None:
    table = pd.DataFrame(
        {"id": list("abc"), "accuracy": [0.1, 0.2, 0.3], "loss": [1.0, 3.0, 2.0], "vanilla_divergence": [5.0, 6.0, 7.0]}
    )
    found = correlation.oriented(table)
    assert sorted(found) == ["accuracy", "loss", "mean_rank", "vanilla_divergence"]
    assert [int(found[name].argmax()) for name in ("accuracy", "loss", "vanilla_divergence")] == [2, 0, 0]
    assert found["mean_rank"].tolist() == [2.0, 1.5, 2.5]
    assert "mean_rank" not in correlation.oriented(table[["accuracy"]])
    weighed = correlation.oriented(table[["accuracy"]].assign(params=[30, 10, 20]))
    assert weighed["params"].tolist() == [30, 10, 20]
    assert weighed["accuracy_params"].tolist() == [2.0, 1.5, 2.5]


def test_the_summary_holds_every_measure_of_every_score() -> None:
    random = np.random.default_rng(0)
    accuracies = random.normal(size=(20, 2))
    scores = {"good": accuracies.mean(axis=1) + 0.1 * random.normal(size=20), "noise": random.normal(size=20)}
    table = correlation.summarise(scores, accuracies, QUICK).set_index(["score", "measure"])
    assert sorted(table.index) == sorted(
        [(score, measure) for score in scores for measure in (*COEFFICIENTS, "regret")]
        + [(CEILING, measure) for measure in COEFFICIENTS]
    )
    assert table.loc[("good", "pearson"), "value"] == pytest.approx(
        stats.pearsonr(scores["good"], accuracies.mean(axis=1)).statistic
    )
    assert table.loc[("good", "kendall"), "low"] > table.loc[("noise", "kendall"), "high"]
    assert (table["low"] <= table["high"]).all()
    assert CEILING not in set(correlation.summarise(scores, accuracies[:, :1], QUICK)["score"])


def test_too_few_candidates_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"2 candidates are too few; set correlation.candidates to 3 or more"):
        correlation.correlate(np.arange(2.0), np.arange(2.0), QUICK)


def test_an_estimate_is_a_plain_tuple_of_numbers() -> None:
    assert estimate(COEFFICIENTS["pearson"], [np.arange(5.0), np.arange(5.0)], QUICK) == Estimate(1.0, 1.0, 1.0)
