"""Intervals and chances against simulation and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.confidence import chance_to_beat, interval, pack, unpack


@given(bits=st.lists(st.booleans(), max_size=70))
def test_bits_come_back(bits: list[bool]) -> None:
    assert unpack(pack(np.array(bits, dtype=bool))).tolist() == bits


def test_the_interval_is_wilsons() -> None:
    p, n, z = 0.62, 500, 1.959964
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z / (1 + z**2 / n)
    half *= math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert interval(p, n) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    ends = [interval(float(right) / 200, 200) for right in rng.binomial(200, 0.3, size=400)]
    assert 0.92 <= np.mean([low <= 0.3 <= high for low, high in ends]) <= 0.98


def test_only_images_on_which_two_differ_count() -> None:
    mine, theirs = np.array([1, 1, 1, 0, 1, 0], dtype=bool), np.array([1, 1, 0, 1, 0, 0], dtype=bool)
    # Won 2, lost 1: Beta(3, 2) lies above one half with probability 11/16.
    assert chance_to_beat(mine, theirs) == pytest.approx(11 / 16)
    assert chance_to_beat(mine, theirs) + chance_to_beat(theirs, mine) == pytest.approx(1)
    same = np.concatenate([np.ones(1000, dtype=bool), mine])
    assert chance_to_beat(same, np.concatenate([np.ones(1000, dtype=bool), theirs])) == pytest.approx(11 / 16)
    assert chance_to_beat(mine, mine) == pytest.approx(0.5)


def test_the_shorter_of_two_decides_what_is_compared() -> None:
    long, short = np.array([1, 0, 0, 0], dtype=bool), np.array([0, 0], dtype=bool)
    assert chance_to_beat(long, short) == chance_to_beat(long[:2], short)


def test_the_chance_is_calibrated() -> None:
    # Two candidates of equal accuracy, over and over: whatever the chance says, it must not say "sure" often.
    rng = np.random.default_rng(1)
    chances = [chance_to_beat(rng.random(300) < 0.5, rng.random(300) < 0.5) for _ in range(300)]
    assert np.mean(np.array(chances) > 0.95) < 0.09
