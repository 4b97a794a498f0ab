"""Which images do what: disjoint, balanced, and the same for the same seed."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.compression.division import balanced, divide
from eagleeye.errors import DataError


@given(
    st.lists(st.sampled_from([0, 3, 7]), min_size=24, max_size=80).filter(lambda labels: len(set(labels)) > 1),
    st.integers(0, 3),
    st.booleans(),
)
def test_the_parts_are_disjoint_balanced_and_repeatable(labels: list[int], seed: int, labelled: bool) -> None:
    x = torch.zeros(len(labels), 1, 2, 2)
    wanted = {"calibration": 4, "sub_validation": 4, "seed": seed}
    images = (x, labels) if labelled else x
    try:
        found = divide(images, None, **wanted)
    except DataError as error:  # what scores is at most half of each class: one class may be left
        assert "are of class" in str(error) or "can be had" in str(error)
        return
    first, second, rest = (
        set(part.rows.tolist()) for part in (found.calibration, found.sub_validation, found.training)
    )
    assert (len(first), len(second)) == (4, 4)
    assert not first & second
    assert not second & rest
    assert first | second | rest == set(range(len(labels)))
    again = divide(images, None, **wanted)
    assert np.array_equal(again.sub_validation.rows, found.sub_validation.rows)
    assert np.array_equal(again.calibration.rows, found.calibration.rows)
    if labelled and min(Counter(labels).values()) >= 4:
        shares = Counter(labels[row] for row in second).values()
        assert max(shares) - min(shares) <= 1
        assert found.labelled


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 5))
def test_every_beginning_of_a_whole_set_is_balanced_as_long_as_classes_last(labels: list[int], seed: int) -> None:
    array = np.array(labels)
    order = balanced(array, len(labels), seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    totals = Counter(labels)
    for end in range(1, len(labels) + 1):
        seen = Counter(array[order[:end]].tolist())
        open_classes = [label for label in totals if seen[label] < totals[label]]
        if open_classes:
            assert max(seen.values()) - min(seen[label] for label in open_classes) <= 1
    assert np.array_equal(balanced(array, len(labels), seed), order)


def test_how_many_without_being_told() -> None:
    x = torch.zeros(1, 1, 2, 2).expand(10_000, -1, -1, -1)
    found = divide((x, [0, 1] * 5000), None, calibration=None, sub_validation=None, seed=0)
    assert (len(found.calibration.rows), len(found.sub_validation.rows)) == (512, 2048)
    found = divide(x[:100], None, calibration=None, sub_validation=0.4, seed=0)
    assert (len(found.calibration.rows), len(found.sub_validation.rows), len(found.training.rows)) == (25, 40, 60)
    with pytest.raises(DataError, match="100 are too few for 60 calibration and 50 sub-validation images"):
        divide(x[:100], None, calibration=60, sub_validation=50, seed=0)
