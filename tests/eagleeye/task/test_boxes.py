import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.detection import MeanAveragePrecision

from eagleeye.task import boxes


def picture(*entries, scored=True):
    found = {
        "boxes": torch.tensor([entry[:4] for entry in entries], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([entry[4] for entry in entries], dtype=torch.int64),
    }
    return found | {"scores": torch.tensor([entry[5] for entry in entries])} if scored else found


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


corner = st.integers(0, 6)
entry = st.tuples(corner, corner, st.integers(2, 6), st.integers(2, 6), st.integers(0, 1), st.integers(1, 99))


def drawn(entries):
    """With scores that differ: COCO's order of equal ones is its own."""
    unique = {each[5]: each for each in entries}.values()
    return [(x, y, x + w, y + h, label, score / 100) for x, y, w, h, label, score in unique]


@given(st.lists(entry, max_size=6), st.lists(entry, min_size=1, max_size=4))
def test_average_precision_is_that_of_coco_where_it_has_all_points(found, wanted):
    """One class: torchmetrics has a curve for each. COCO's 101 recalls are less than a point from the area."""
    mine = [(*each[:4], 0, each[5]) for each in drawn(found)]
    truth = [(*each[:4], 0, 1.0) for each in drawn(wanted)]
    metric = MeanAveragePrecision(iou_thresholds=[0.5], rec_thresholds=np.linspace(0, 1, 1001).tolist())
    metric.update([picture(*mine)], [picture(*truth, scored=False)])
    expected = float(metric.compute()["map"])
    area = boxes.average_precision(picture(*mine), picture(*truth, scored=False))
    assert area == pytest.approx(expected, abs=2e-3)


def test_average_precision_by_hand():
    truth = picture((0, 0, 4, 4, 1), (8, 8, 12, 12, 2), scored=False)
    right, second = (0, 0, 4, 4, 1, 0.9), (8, 8, 12, 12, 2, 0.5)
    false, other_class = (20, 20, 24, 24, 1, 0.7), (8, 8, 12, 12, 1, 0.8)
    assert boxes.average_precision(picture(right, second), truth) == 1
    assert boxes.average_precision(picture(right, false, second), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert boxes.average_precision(picture(right, false, other_class), truth) == pytest.approx(1 / 2)
    assert boxes.average_precision(picture(right, (0, 0, 4, 4, 1, 0.8), second), truth) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert boxes.average_precision(picture(), truth) == 0
    nothing = picture(scored=False)
    assert boxes.average_precision(picture(), nothing) == 1
    assert boxes.average_precision(picture(right, false), nothing) == pytest.approx(0.1)


def test_f1_counts_what_is_sure():
    truth = picture((0, 0, 4, 4, 1), (8, 8, 12, 12, 2), scored=False)
    found = picture((0, 0, 4, 4, 1, 0.9), (8, 8, 12, 12, 2, 0.49), (20, 20, 24, 24, 1, 0.5))
    assert boxes.f1(found, truth) == pytest.approx(2 * 1 / (2 + 2))  # one right, one false, one missed
    assert boxes.f1(picture(), picture(scored=False)) == 1
    assert boxes.f1(found, picture(scored=False)) == 0


@given(st.lists(entry, max_size=6), st.lists(entry, max_size=6))
def test_agreement_is_a_coefficient(first, second):
    mine, theirs = (picture(*drawn(each)) for each in (first, second))
    found = boxes.agreement(mine, theirs)
    assert 0 <= found <= 1 + 1e-12
    lone = len({each[:5] for each in first}) == len(drawn(first)) == 1
    if lone:
        assert boxes.agreement(mine, mine) == pytest.approx(1)
    if not first and not second:
        assert found == 1
    elif not first or not second:
        assert found == 0


def test_agreement_by_hand():
    mine = picture((0, 0, 4, 4, 1, 0.9), (8, 8, 12, 12, 2, 0.2))
    theirs = picture((0, 0, 4, 3, 1, 0.6), (30, 30, 34, 34, 0, 0.3))
    assert boxes.agreement(mine, theirs) == pytest.approx(2 * 0.6 * 0.75 / (0.9 + 0.2 + 0.6 + 0.3))


@given(st.lists(entry, max_size=6), st.lists(entry, max_size=6))
def test_the_surest_detection_takes_the_box_that_it_overlaps_most(found, wanted):
    mine, truth = drawn(found), drawn(wanted)
    pairs = boxes.matched(picture(*mine), picture(*truth, scored=False))
    free = set(range(len(truth)))
    expected = {}
    for number in sorted(range(len(mine)), key=lambda each: -mine[each][5]):
        hopes = {box: iou(mine[number], truth[box]) for box in free if truth[box][4] == mine[number][4]}
        if hopes and max(hopes.values()) >= 0.5:
            best = max(hopes, key=lambda box: (hopes[box], -box))
            free.remove(best)
            expected[number] = (best, hopes[best])
    got = dict(
        zip(pairs.detections.tolist(), zip(pairs.boxes.tolist(), pairs.overlaps.tolist(), strict=True), strict=True)
    )
    assert got.keys() == expected.keys()
    assert all(got[key][0] == expected[key][0] and math.isclose(got[key][1], expected[key][1]) for key in got)
