"""Drawing calibration and sub-validation images, and storing them."""

import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagleeye.data import Preprocess, decode, draw_subset, open_source, read_subset, write_subset
from eagleeye.data import subset as subset_module
from eagleeye.errors import ArtifactError, ConfigError, DataError
from tests.eagleeye.data.memory import Pictures, coded, noise


def shuffled(*sizes: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(labels)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    seed=st.integers(0, 2**32),
)
def test_disjoint_balanced_and_of_the_wanted_size(sizes: list[int], shares: tuple, seed: int) -> None:
    labels, sizes_ = shuffled(*sizes), np.array(sizes)
    halves = int((sizes_ // 2).sum())
    if not halves:
        return
    scoring = max(1, int(shares[0] * halves))
    adapting = max(1, int(shares[1] * (len(labels) - scoring)))
    subset = draw_subset(labels, calibration=adapting, sub_validation=scoring, seed=seed)
    assert len(subset.calibration) == adapting
    assert len(subset.sub_validation) == scoring
    both = np.concatenate([subset.calibration, subset.sub_validation])
    assert len(np.unique(both)) == len(both)
    assert both.min() >= 0
    assert both.max() < len(labels)
    given_ = np.bincount(labels[subset.sub_validation], minlength=len(sizes))
    assert_balanced(given_, sizes_ // 2)
    assert_balanced(np.bincount(labels[subset.calibration], minlength=len(sizes)), sizes_ - given_)


def assert_balanced(counts: np.ndarray, limits: np.ndarray) -> None:
    """No class may be two short of another one, unless it has no more to give."""
    assert np.all(counts <= limits)
    able = counts[counts < limits]
    if len(able):
        assert able.min() >= counts.max() - 1


def test_fractions_are_of_the_whole_set_and_a_thirtieth_is_the_default() -> None:
    subset = draw_subset(shuffled(*[300] * 10), sub_validation=0.1, seed=0)
    assert len(subset.calibration) == 100
    assert len(subset.sub_validation) == 300
    tiny = draw_subset(shuffled(5, 5), calibration=0.001, sub_validation=0.001, seed=0)
    assert len(tiny.calibration) == len(tiny.sub_validation) == 1


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    labels = shuffled(50, 60, 70)
    one, same, other = (draw_subset(labels, sub_validation=30, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.calibration, same.calibration)
    assert np.array_equal(one.sub_validation, same.sub_validation)
    assert set(one.sub_validation) != set(other.sub_validation)


def test_one_count_does_not_change_the_other_draw() -> None:
    labels = shuffled(50, 60, 70)
    few = draw_subset(labels, calibration=20, sub_validation=30, seed=1)
    assert np.array_equal(
        draw_subset(labels, calibration=50, sub_validation=30, seed=1).sub_validation, few.sub_validation
    )
    assert np.array_equal(draw_subset(labels, calibration=20, sub_validation=60, seed=1).calibration, few.calibration)


def test_every_row_has_the_same_chance() -> None:
    labels = np.repeat([0, 1], [20, 20])
    counts = np.zeros((2, 40))
    for seed in range(400):
        subset = draw_subset(labels, calibration=10, sub_validation=10, seed=seed)
        counts[0, subset.calibration] += 1
        counts[1, subset.sub_validation] += 1
    # Binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert np.all(np.abs(counts - 100) < 4.5 * 8.7)


def test_what_does_not_divide_goes_to_classes_at_random() -> None:
    labels = shuffled(20, 20, 20)
    for name in ("calibration", "sub_validation"):
        extra = set()
        for seed in range(30):
            subset = draw_subset(labels, calibration=7, sub_validation=7, seed=seed)
            extra.add(int(np.bincount(labels[getattr(subset, name)], minlength=3).argmax()))
        assert extra == {0, 1, 2}


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(2, 30), min_size=1, max_size=6), share=st.floats(0.1, 1), seed=st.integers(0, 99))
def test_every_prefix_is_balanced_as_long_as_there_are_images(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    wanted = max(1, int(share * sum(size // 2 for size in sizes)))
    subset = draw_subset(labels, calibration=wanted, sub_validation=wanted, seed=seed)
    for rows in (subset.calibration, subset.sub_validation):
        totals = np.bincount(labels[rows], minlength=len(sizes))
        for stop in range(1, wanted + 1):
            assert_balanced(np.bincount(labels[rows[:stop]], minlength=len(sizes)), totals)


def test_the_order_is_random_within_and_across_classes() -> None:
    labels, firsts, starts = np.repeat(np.arange(4), 25), set(), np.zeros(100)
    for seed in range(400):
        rows = draw_subset(labels, calibration=1, sub_validation=40, seed=seed).sub_validation
        firsts.add(tuple(labels[rows[:8]]))
        starts[rows[:4]] += 1
    # Two turns of four classes: 24 * 24 orders; 400 draws of them find about 288 different ones.
    assert len(firsts) > 200
    # Binomial(400, 1/25): mean 16, standard deviation 3.9.
    assert np.all(np.abs(starts - 16) < 4.5 * 3.9)


def test_small_classes_keep_half_of_their_images_from_sub_validation() -> None:
    labels = shuffled(100, 100, 5, 1)
    subset = draw_subset(labels, calibration=4, sub_validation=60, seed=0)
    assert np.bincount(labels[subset.sub_validation], minlength=4).tolist() == [29, 29, 2, 0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"calibration": 5, "sub_validation": 11}, "sub_validation: 11 images are wanted, but only 10"),
        ({"calibration": 11, "sub_validation": 10}, "calibration: 11 images are wanted, but only 10"),
    ],
)
def test_too_many(counts: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        draw_subset(shuffled(10, 10), **counts, seed=0)
    draw_subset(shuffled(10, 10), calibration=10, sub_validation=10, seed=0)


@pytest.mark.parametrize("wanted", [0, -3, 0.0, 1.0, 1.5, float("nan"), True, "all", None])
@pytest.mark.parametrize("name", ["calibration", "sub_validation"])
def test_counts_out_of_range(name: str, wanted) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a count"):
        draw_subset(shuffled(10, 10), **{"calibration": 1, "sub_validation": 1, name: wanted}, seed=0)


def test_an_empty_class_is_named() -> None:
    with pytest.raises(DataError, match="class 1 is empty"):
        draw_subset(shuffled(10, 0, 10), sub_validation=1, seed=0)
    with pytest.raises(DataError, match=r"class 2 \(owl\) is empty"):
        draw_subset(shuffled(10, 10), sub_validation=1, seed=0, classes=("cat", "dog", "owl"))
    with pytest.raises(DataError, match="training set is empty"):
        draw_subset(np.array([], dtype=np.int64), sub_validation=1, seed=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 10**9, 1], "class 2 is empty"),
        ([1, 2**62], "class 0 is empty"),
        ([0, -3, 1], "row 1 has label -3: labels are counted from 0"),
    ],
)
def test_labels_that_are_far_apart_do_not_fill_the_memory(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        draw_subset(np.array(labels), calibration=1, sub_validation=1, seed=0)


def test_an_image_is_named_by_its_place_in_the_training_set(tmp_path: Path) -> None:
    images = Pictures([coded(noise(4, 4))] * 5)
    images.files[3] = b"nothing"
    write_subset(tmp_path / "subset.parquet", images, [4, 0, 3])
    with pytest.raises(DataError, match=r"^row 3 of the training set \(.*subset\.parquet, row 2\) cannot be decoded"):
        decode(read_subset(tmp_path / "subset.parquet"), None, Preprocess())


@pytest.mark.parametrize("group", [1000, 7])
def test_what_is_stored_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(subset_module, "_GROUP", group)
    train, _ = open_source("digits")
    rows = draw_subset(train.labels, calibration=30, sub_validation=20, seed=3).calibration
    path = tmp_path / "calibration.parquet"
    write_subset(path, train, rows)
    stored = read_subset(path)
    assert stored.rows.tolist() == rows.tolist()
    assert stored.labels.tolist() == train.labels[rows].tolist()
    assert stored.classes == train.classes
    assert [stored.encoded(place) for place in range(30)] == [train.encoded(int(row)) for row in rows]
    pixels = decode(stored, None, Preprocess(size=16)).pixels
    assert bool((pixels == decode(train, rows, Preprocess(size=16)).pixels).all())
    again = tmp_path / "again.parquet"
    write_subset(again, train, rows)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_readable_for_others(tmp_path: Path) -> None:
    train, _ = open_source("digits")
    path = tmp_path / "calibration.parquet"
    write_subset(path, train, [5, 3])
    table = pd.read_parquet(path)
    assert list(table.columns) == ["row", "label", "image"]
    assert table["row"].tolist() == [5, 3]
    assert table["image"][0]["bytes"] == train.encoded(5)
    schema = pq.read_schema(path)
    assert [str(field.type) for field in schema] == ["int64", "int64", "struct<bytes: binary, path: string>"]
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": list("0123456789"), "_type": "ClassLabel"}


def test_a_missing_damaged_or_foreign_file(tmp_path: Path, shared_data: Path) -> None:
    train, _ = open_source("digits")
    path = tmp_path / "calibration.parquet"
    with pytest.raises(DataError, match="no such Parquet file"):
        read_subset(path)
    write_subset(path, train, [5, 3])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_subset(path)
    write_subset(path, train, range(100))
    stored = bytearray(path.read_bytes())
    stored[stored.index(train.encoded(40)) + 30] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"calibration\.parquet: row group 0 is damaged"):
        read_subset(path).encoded(3)
    with pytest.raises(DataError, match=r"parquet has no column 'row', only image, label"):
        read_subset(shared_data / "cifar10" / "test-00000-of-00001.parquet")


def test_nothing_half_written(tmp_path: Path) -> None:
    train, _ = open_source("digits")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        write_subset(tmp_path / "file" / "subset.parquet", train, [1])


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    train, _ = open_source("digits")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, former[1]))
    try:
        with pytest.raises(ArtifactError, match=r"cannot write .*subset\.parquet: File too large"):
            write_subset(tmp_path / "subset.parquet", train, range(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert not list(tmp_path.iterdir())
