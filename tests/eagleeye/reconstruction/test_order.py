"""The elimination against explicit least squares for every choice of channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleeye.reconstruction.order import Layer, eliminate

Matrix = npt.NDArray[np.float64]


def problem(channels: int, outputs: int, seed: int) -> tuple[Matrix, Matrix]:
    """Features, shape (samples, channels), and weights, shape (outputs, channels)."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((4 * channels, channels)) @ rng.standard_normal((channels, channels))
    return features, rng.standard_normal((outputs, channels))


def error_without(features: Matrix, weights: Matrix, gone: list[int]) -> float:
    """The squared output error, per sample, of the best weights for the channels that are left."""
    left = [channel for channel in range(features.shape[1]) if channel not in gone]
    wanted = features @ weights.T
    best = np.linalg.lstsq(features[:, left], wanted, rcond=None)[0]
    return float(((features[:, left] @ best - wanted) ** 2).sum() / len(features))


def layer_of(features: Matrix, weights: Matrix, energy: float) -> Layer:
    second = features.T @ features / len(features)
    return Layer(np.linalg.inv(second), weights.T @ weights, energy)


@given(channels=st.integers(2, 9), outputs=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_every_step_is_the_cheapest_and_costs_what_it_says(channels: int, outputs: int, seed: int) -> None:
    problems = [problem(channels, outputs, seed), problem(channels, outputs + 1, seed + 1)]
    energies = [2.0, 5.0]
    order, added = eliminate([layer_of(*one, energy) for one, energy in zip(problems, energies, strict=True)])

    def total(gone: list[int]) -> float:
        return sum(error_without(*one, gone) / energy for one, energy in zip(problems, energies, strict=True))

    gone: list[int] = []
    for channel, cost in zip(order[:-1].tolist(), added[:-1].tolist(), strict=True):
        choices = {other: total([*gone, other]) - total(gone) for other in range(channels) if other not in gone}
        scale = total([*range(channels - 1)]) + 1
        assert choices[channel] <= min(choices.values()) + 1e-8 * scale
        assert cost == pytest.approx(choices[channel], abs=1e-8 * scale)
        gone.append(channel)
    assert sorted(order.tolist()) == list(range(channels))
    assert added[-1] == np.inf


def test_a_channel_that_others_give_exactly_goes_first_and_costs_nothing() -> None:
    features, weights = problem(6, 4, seed=3)
    features[:, 2] = 0.5 * features[:, 0] - 2 * features[:, 5]
    second = features.T @ features / len(features) + 1e-9 * np.eye(6)
    order, added = eliminate([Layer(np.linalg.inv(second), weights.T @ weights, 1.0)])
    assert order[0] in (0, 2, 5)
    assert added[0] < 1e-6 < added[1]
