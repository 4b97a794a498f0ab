"""Races: how many images for whom, and who goes on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.errors import ConfigError
from eagleeye.scoring.racing import FEWEST, HOPE, KEEP, Rung, Standing, in_order, plan, survivors
from eagleeye.task.confidence import Evidence, Hits, Losses


def test_many_candidates_run_through_three_rungs_few_through_two_one_through_the_last() -> None:
    first, last = Rung(256, 1024), Rung(1667, 5000)
    assert plan(1000, first, last, batch_size=128) == (first, Rung(512, 2048), last)
    assert plan(40, first, last, batch_size=128) == (first, last)
    assert plan(1, first, last, batch_size=128) == (last,)


def test_rungs_end_with_whole_batches_and_with_what_there_is() -> None:
    assert plan(9, Rung(200, 100), Rung(1000, 500), batch_size=128)[0] == Rung(256, 100)
    assert plan(9, Rung(200, 100), Rung(150, 500), batch_size=128) == (Rung(150, 100), Rung(150, 500))
    assert plan(9, Rung(256, 1024), Rung(48, 287), batch_size=128) == (Rung(48, 287),)
    with pytest.raises(ConfigError, match="at least 1"):
        plan(9, Rung(0, 100), Rung(150, 500), batch_size=128)


@given(
    candidates=st.integers(1, 2000),
    first=st.builds(Rung, st.integers(1, 700), st.integers(1, 700)),
    last=st.builds(Rung, st.integers(1, 900), st.integers(1, 900)),
    batch_size=st.integers(1, 200),
)
def test_rungs_grow_and_can_be_gone_on_from(candidates: int, first: Rung, last: Rung, batch_size: int) -> None:
    rungs = plan(candidates, first, last, batch_size=batch_size)
    assert rungs[-1] == last
    for one, following in itertools.pairwise(rungs):
        assert one.sub_validation < following.sub_validation
        assert one.calibration <= following.calibration
        assert one.calibration % batch_size == 0 or one.calibration == last.calibration


def standing(right: np.ndarray) -> Standing:
    return Standing((float(right.mean()), -1.0), Hits(right))


def raced(evidence: Evidence) -> Standing:
    mean = float(evidence.values.mean())
    return Standing((mean if isinstance(evidence, Hits) else -mean, -1.0), evidence)


@given(seed=st.integers(0, 1000), count=st.integers(2, 90), images=st.integers(20, 200), kind=st.sampled_from([0, 1]))
def test_the_leader_goes_on_with_few_that_may_still_win(seed: int, count: int, images: int, kind: int) -> None:
    rng = np.random.default_rng(seed)
    bits = [rng.random(images) < accuracy for accuracy in rng.uniform(0.2, 0.9, size=count)]
    nats = rng.gamma(rng.uniform(0.5, 3, size=(count, 1)), size=(count, images))
    field = {f"s{i}": raced(Losses(nats[i]) if kind else Hits(bits[i])) for i in range(count)}
    chosen = survivors(field)
    means = {name: float(each.evidence.values.mean()) for name, each in field.items()}
    order = sorted(field, key=lambda name: (means[name] if kind else -means[name], name))
    assert chosen[0] == order[0]
    assert 2 <= len(chosen) <= max(FEWEST, count // KEEP)
    assert all(name in order[: max(FEWEST, count // KEEP)] for name in chosen)
    chances = [field[name].evidence.chance_to_beat(field[order[0]].evidence) for name in chosen[1:]]
    assert len(chosen) == 2 or min(chances) >= HOPE


def test_a_clear_leader_ends_the_race_for_all_but_the_runner_up() -> None:
    images = 400
    field = {f"s{i}": standing(np.arange(images) < right) for i, right in enumerate((100, 300, 150, 120))}
    assert survivors(field) == ["s1", "s2"]


def test_the_loss_of_a_clear_leader_ends_the_race_where_accuracies_would_not() -> None:
    rng = np.random.default_rng(0)
    # All differ in loss on every image, and are right on the same ones.
    shared = rng.gamma(1, size=400)
    field = {f"s{i}": raced(Losses(shared + more)) for i, more in enumerate((0.3, 0.1, 0.2, 0.4))}
    assert survivors(field) == ["s1", "s2"]
    bits = rng.random(400) < 0.5
    assert len(survivors({name: standing(bits) for name in field})) == 4


def test_equal_scores_are_decided_by_the_second_one_then_by_id() -> None:
    bits = Hits(np.ones(3, dtype=bool))
    field = {name: Standing((1.0, second), bits) for name, second in (("b", -1.0), ("c", -0.5), ("a", -1.0))}
    assert in_order(field) == ["c", "a", "b"]


def test_a_tie_is_no_reason_to_stop() -> None:
    rng = np.random.default_rng(0)
    field = {f"s{i}": standing(rng.random(200) < 0.5) for i in range(4)}
    assert len(survivors(field)) == 4


def test_one_candidate_has_nobody_to_beat() -> None:
    assert survivors({"s0": standing(np.ones(3, dtype=bool))}) == ["s0"]
