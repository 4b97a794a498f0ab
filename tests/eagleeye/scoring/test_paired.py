import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eagleeye.scoring.paired import LEVEL, Paired
from eagleeye.scoring.paired import compare as compare_evidence
from eagleeye.task import Errors, Hits, Shares


def compare(mine, theirs) -> Paired:
    return compare_evidence(Hits(mine), Hits(theirs))


HITS = st.integers(1, 400).flatmap(
    lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n).map(lambda x: np.array(x, dtype=bool))] * 2)
)


@given(HITS)
def test_exchanging_the_networks_exchanges_the_signs(hits):
    mine, theirs = hits
    there, back = compare(mine, theirs), compare(theirs, mine)
    assert (there.difference, there.low, there.high) == (-back.difference, -back.high, -back.low)
    assert there.low <= there.difference <= there.high or there.apart == there.images
    assert there.difference == pytest.approx(mine.mean() - theirs.mean())
    assert there.decided == back.decided


@pytest.mark.parametrize(("both", "won", "lost", "neither"), [(300, 12, 5, 43), (70, 9, 0, 21), (9000, 400, 330, 270)])
def test_the_interval_is_walds_with_half_an_image_in_every_cell(both, won, lost, neither):
    cells = np.array([both, won, lost, neither])
    mine, theirs = (np.repeat(np.array(right, dtype=bool), cells) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    found = compare(mine, theirs)
    shares = (cells + 0.5) / (cells + 0.5).sum()
    difference = shares[1] - shares[2]
    spread = math.sqrt((shares[1] + shares[2] - difference**2) / (cells.sum() + 2))
    half = stats.norm.ppf((1 + LEVEL) / 2) * spread
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half))


def test_the_interval_holds_the_truth_nineteen_times_in_twenty():
    generator, truth, held = np.random.default_rng(0), 0.03, 0
    for _ in range(2000):
        drawn = generator.choice(4, 500, p=[0.8, 0.07, 0.04, 0.09])
        found = compare((drawn == 0) | (drawn == 1), (drawn == 0) | (drawn == 2))
        held += found.low <= truth <= found.high
    assert 0.935 < held / 2000 < 0.97


def test_what_it_says_about_a_tie_is_what_more_images_of_the_kind_show():
    cells = [280, 14, 10, 56]
    mine, theirs = (np.repeat(np.array(right, dtype=bool), cells) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    tie = compare(mine, theirs)
    assert not tie.decided
    times = math.ceil(1.15 * tie.images_to_decide / len(mine))
    assert compare(np.tile(mine, times), np.tile(theirs, times)).decided
    fewer = int(0.8 * tie.images_to_decide / len(mine))
    assert not compare(np.tile(mine, fewer), np.tile(theirs, fewer)).decided


def test_equal_networks_are_a_tie_that_nothing_decides():
    hits = np.array([True, False, True])
    found = compare(hits, hits)
    assert (found.difference, found.decided, found.images_to_decide) == (0.0, False, None)


@pytest.mark.parametrize("counts", [(0, 0), (3, 4)])
def test_what_cannot_be_compared_is_refused(counts):
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(*(np.ones(count, dtype=bool) for count in counts))


def test_of_numbers_the_interval_is_students_of_paired_differences():
    random = np.random.default_rng(0)
    mine = random.random(40)
    theirs = mine + random.normal(0.02, 0.05, 40)
    wanted = stats.ttest_rel(mine, theirs).confidence_interval(LEVEL)
    found = compare_evidence(Shares(mine), Shares(theirs))
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.difference == pytest.approx((mine - theirs).mean())
    # Where less is better, the same numbers speak for the other one.
    errors = compare_evidence(Errors(mine), Errors(theirs))
    assert (errors.low, errors.high) == pytest.approx((-wanted.high, -wanted.low))


def test_numbers_that_are_a_tie_are_decided_by_as_many_as_it_says():
    random = np.random.default_rng(1)
    mine, theirs = random.random((2, 60))
    tie = compare_evidence(Shares(mine), Shares(theirs))
    assert not tie.decided
    times = math.ceil(1.3 * tie.images_to_decide / 60)
    assert compare_evidence(Shares(np.tile(mine, times)), Shares(np.tile(theirs, times))).decided
