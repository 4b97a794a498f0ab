"""Intervals and chances against simulation, closed forms and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eagleeye.task.confidence import Evidence, Hits, Losses

nats = st.lists(st.floats(0, 1000), min_size=1, max_size=40)


def hits(*values: int) -> Hits:
    return Hits(np.array(values, dtype=bool))


def losses(values: object) -> Losses:
    return Losses(np.asarray(values, dtype=np.float64))


@given(bits=st.lists(st.booleans(), max_size=70))
def test_bits_come_back(bits: list[bool]) -> None:
    assert Hits.unpack(hits(*bits).pack()).values.tolist() == bits
    assert len(hits(*bits).pack()) == 4 + math.ceil(len(bits) / 8)


@given(values=st.lists(st.floats(0, 1e6), max_size=70))
def test_losses_come_back_in_two_bytes_each(values: list[float]) -> None:
    packed = losses(values).pack()
    assert len(packed) == 4 + 2 * len(values)
    back = Losses.unpack(packed).values.astype(np.float64)
    np.testing.assert_allclose(back, np.minimum(values, 65504), rtol=2**-11, atol=2**-24)


@pytest.mark.parametrize(
    ("kind", "value", "exact", "rough"), [(Hits, 0.61239, "61.24%", "61.2%"), (Losses, 1.25, "1.2500", "1.250")]
)
def test_people_read_shares_in_per_cent_and_losses_in_nats(
    kind: type[Evidence], value: float, exact: str, rough: str
) -> None:
    assert (kind.text(value), kind.text(value, exact=False)) == (exact, rough)


def test_the_interval_of_a_share_is_wilsons() -> None:
    p, n, z = 0.62, 500, 1.959964
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z / (1 + z**2 / n)
    half *= math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert Hits(np.arange(n) < p * n).interval() == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(0).gamma(2, size=37)
    wanted = stats.t.interval(0.95, df=36, loc=values.mean(), scale=stats.sem(values))
    assert losses(values).interval() == pytest.approx(wanted)


@pytest.mark.parametrize("count", [20, 200])
def test_the_intervals_cover_the_truth_as_often_as_they_say(count: int) -> None:
    rng = np.random.default_rng(0)
    shares = [Hits(rng.random(count) < 0.3).interval() for _ in range(400)]
    means = [losses(rng.gamma(4, 0.25, count)).interval() for _ in range(400)]
    for ends, truth in ((shares, 0.3), (means, 1.0)):
        assert 0.91 <= np.mean([low <= truth <= high for low, high in ends]) <= 0.985


def test_the_interval_of_hardly_any_losses_promises_nothing() -> None:
    assert losses([0.7]).interval() == (0, math.inf)
    low, high = losses([0.0, 4.0]).interval()
    assert low == 0
    assert high > 20


def test_only_images_on_which_two_differ_count() -> None:
    mine, theirs = hits(1, 1, 1, 0, 1, 0), hits(1, 1, 0, 1, 0, 0)
    # Won 2, lost 1: Beta(3, 2) lies above one half with probability 11/16.
    assert mine.chance_to_beat(theirs) == pytest.approx(11 / 16)
    assert mine.chance_to_beat(theirs) + theirs.chance_to_beat(mine) == pytest.approx(1)
    alike = np.ones(1000, dtype=bool)
    longer = [Hits(np.concatenate([alike, each.values])) for each in (mine, theirs)]
    assert longer[0].chance_to_beat(longer[1]) == pytest.approx(11 / 16)
    assert mine.chance_to_beat(mine) == pytest.approx(0.5)


def test_the_shorter_of_two_decides_what_is_compared() -> None:
    assert hits(1, 0, 0, 0).chance_to_beat(hits(0, 0)) == hits(1, 0).chance_to_beat(hits(0, 0))
    assert losses([1, 2, 9]).chance_to_beat(losses([2, 2])) == losses([1, 2]).chance_to_beat(losses([2, 2]))


@given(mine=nats, seed=st.integers(0, 1000), shift=st.floats(0.01, 100))
def test_a_smaller_loss_is_better_and_one_wins_what_the_other_loses(mine: list[float], seed: int, shift: float) -> None:
    theirs = np.random.default_rng(seed).gamma(1, 10, len(mine))
    chance = losses(mine).chance_to_beat(losses(theirs))
    assert 0 <= chance <= 1
    assert chance + losses(theirs).chance_to_beat(losses(mine)) == pytest.approx(1)
    assert (chance > 0.5) == (np.mean(mine) < np.mean(theirs)) or chance == pytest.approx(0.5)
    better = losses(mine).chance_to_beat(losses(np.asarray(mine) + shift))
    assert 0.5 < better <= 1
    # Nats or bits: the unit says nothing.
    assert losses(3 * np.array(mine)).chance_to_beat(losses(3 * theirs)) == pytest.approx(chance)


def test_without_a_difference_or_an_image_nobody_is_better() -> None:
    assert losses([1, 2]).chance_to_beat(losses([1, 2])) == 0.5
    assert losses([]).chance_to_beat(losses([1.0])) == 0.5


def test_few_images_make_nobody_sure_though_they_all_differ_alike() -> None:
    chances = [losses(np.ones(n)).chance_to_beat(losses(np.full(n, 1.5))) for n in (1, 2, 5, 20)]
    assert chances == sorted(chances)
    # About as sure as won and lost images make it: 0.75, 0.875, 0.984, all but certain.
    wanted = [Hits(np.ones(n, dtype=bool)).chance_to_beat(Hits(np.zeros(n, dtype=bool))) for n in (1, 2, 5, 20)]
    np.testing.assert_allclose(chances, wanted, atol=0.1)
    assert chances[-1] > 0.999


@pytest.mark.parametrize("gain", [0.0, 0.03, 0.08])
def test_the_chance_is_that_of_the_bootstrap(gain: float) -> None:
    rng = np.random.default_rng(5)
    shared = rng.gamma(0.5, 2.0, size=500)  # hard images are hard for both, and a few are very hard
    mine, theirs = (shared * rng.lognormal(0, 0.3, 500) + extra for extra in (0, gain))
    drawn = rng.integers(500, size=(20_000, 500))
    differences = (theirs - mine)[drawn].mean(axis=1)
    assert losses(mine).chance_to_beat(losses(theirs)) == pytest.approx((differences > 0).mean(), abs=0.02)


def test_losses_of_one_or_nothing_are_compared_as_hits_are() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        right, other = rng.random(400) < 0.6, rng.random(400) < 0.55
        chance = losses(~right).chance_to_beat(losses(~other))
        assert chance == pytest.approx(Hits(right).chance_to_beat(Hits(other)), abs=0.01)


@pytest.mark.parametrize("images", [6, 300])
def test_the_chance_is_calibrated(images: int) -> None:
    # Two equal candidates, over and over: whatever the chance says, it must not say "sure" often.
    rng = np.random.default_rng(1)
    pairs = [(rng.random((2, images)) < 0.5, rng.gamma(1, size=(2, images))) for _ in range(300)]
    for chances in (
        [Hits(bits[0]).chance_to_beat(Hits(bits[1])) for bits, _ in pairs],
        [losses(values[0]).chance_to_beat(losses(values[1])) for _, values in pairs],
    ):
        assert np.mean(np.array(chances) > 0.95) < 0.09
