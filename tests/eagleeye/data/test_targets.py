"""Targets that are no classes: masks cut like their pictures, numbers; sets of tensors; to the subset and back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from eagleeye.data import Batches, Preprocess, decode, decode_to, open_source, read_subset, write_subset
from eagleeye.data.targets import targets_of
from eagleeye.errors import ConfigError, DataError

GREY = {"mean": (0.5,), "std": (0.5,)}


def _picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, object]:
    """Pictures whose pixels are three times the class of their masks, which rises from left to right, or downwards."""
    for side in ("train", "test"):
        for row in range(12):
            classes = np.indices((60, 80))[row % 2].astype(np.uint8)
            _picture(tmp_path / side / "images" / f"{row}.png", 3 * classes)
            _picture(tmp_path / side / "masks" / f"{row}.png", classes)
    return {f"{side}_{kind}": tmp_path / side / kind for side in ("train", "test") for kind in ("images", "masks")}


@pytest.mark.parametrize(
    ("size", "resize"), [(None, None), (24, 30), (None, 30)], ids=["as they are", "resized and cropped", "resized"]
)
def test_masks_are_cut_as_their_pictures_are(masks, size, resize):
    train, _ = open_source("masks", **masks)
    found = decode(train, None, Preprocess(size, resize, **GREY))
    assert found.labels.dtype == torch.uint8
    assert found.labels.shape == found.pixels[:, 0].shape
    # The nearest pixel is at most one and a half away, at a scale of two; a crop that is one off would be two.
    assert (found.pixels[:, 0].float() / 3 - found.labels.float()).abs().max() <= 1.5


def test_masks_of_other_values_become_classes_and_strange_ones_are_refused(masks, tmp_path):
    for path in Path(masks["train_masks"]).glob("*.png"):
        _picture(path, np.where(np.array(Image.open(path)) > 1, 255, 0).astype(np.uint8))
    train, _ = open_source("masks", **masks)
    with pytest.raises(DataError, match=r"0 and 255 alone.*set the option values"):
        targets_of(train, np.arange(12), None)
    train, _ = open_source("masks", **masks, values=[0, 255], classes=["ground", "cell"])
    assert set(targets_of(train, np.arange(12), None).unique().tolist()) == {0, 1}
    assert train.classes == ("ground", "cell")
    train, _ = open_source("masks", **masks, values=[0, 7])
    # 255 stands for no class, whatever the values are.
    assert set(targets_of(train, np.arange(12), None).unique().tolist()) == {0, 255}
    _picture(Path(masks["train_masks"]) / "3.png", np.full((60, 80), 9, np.uint8))
    with pytest.raises(DataError, match=r"3\.png holds the value 9"):
        targets_of(train, np.arange(12), None)


def test_a_missing_or_misshapen_mask_is_named(masks):
    _picture(Path(masks["train_masks"]) / "5.png", np.zeros((10, 10), np.uint8))
    train, _ = open_source("masks", **masks)
    with pytest.raises(DataError, match=r"80x60 pixels, but its mask 10x10"):
        targets_of(train, np.arange(12), None)
    (Path(masks["train_masks"]) / "5.png").unlink()
    with pytest.raises(DataError, match=r"5\.png has no mask of its name"):
        open_source("masks", **masks)
    with pytest.raises(DataError, match="values is"):
        open_source("masks", **masks, values=[1, 1])


def test_a_subset_keeps_targets_byte_for_byte(masks, tmp_path):
    train, _ = open_source("masks", **masks, classes=["a", "b", "c", "d"])
    write_subset(tmp_path / "subset.parquet", train, [7, 2])
    found = read_subset(tmp_path / "subset.parquet")
    assert (found.classes, found.target_kind, found.labelled) == (("a", "b", "c", "d"), "mask", True)
    assert torch.equal(targets_of(found, np.arange(2), None), targets_of(train, np.array([7, 2]), None))
    batches = Batches(
        decode(found, None, Preprocess(**GREY)), Preprocess(**GREY), batch_size=2, device="cpu", labelled=True
    )
    _, labels = next(iter(batches))
    assert labels.dtype == torch.int64


def test_a_table_of_numbers(tmp_path):
    for row in range(4):
        _picture(tmp_path / "pictures" / f"{row}.png", np.full((8, 8), row, np.uint8))
    table = pd.DataFrame(
        {"file": [f"pictures/{row}.png" for row in range(4)], "red": [0, 1, 0, 1], "size": [0.5, 1, 2, 3]}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    options = {"image_column": "file", "target_columns": ["size", "red"]}
    for name in ("t.csv", "t.parquet"):
        train, _ = open_source("table", train=tmp_path / name, test=tmp_path / name, **options)
        assert train.classes == ("size", "red")
        assert targets_of(train, np.array([3, 0]), None).tolist() == [[3.0, 1.0], [0.5, 0.0]]
    table.assign(red=["0", "1", "no", "1"]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"row 2 has 'no' in column 'red'"):
        open_source("table", train=tmp_path / "t.csv", test=tmp_path / "t.csv", **options)
    with pytest.raises(DataError, match="no column 'blue'"):
        open_source(
            "table", train=tmp_path / "t.parquet", test=tmp_path / "t.parquet", **options | {"target_columns": ["blue"]}
        )
    (tmp_path / "pictures" / "1.png").unlink()
    with pytest.raises(DataError, match=r"row 1 names .*1\.png, which is missing"):
        open_source("table", train=tmp_path / "t.parquet", test=tmp_path / "t.parquet", **options)


def test_pictures_without_labels_leave_a_tenth_for_testing(tmp_path):
    for row in range(30):
        _picture(tmp_path / "all" / str(row % 3) / f"{row}.png", np.full((8, 8), row, np.uint8))
    train, test = open_source("images", train=tmp_path / "all")
    assert (len(train), len(test)) == (27, 3)
    assert set(train.paths).isdisjoint(test.paths)
    assert not train.labelled
    write_subset(tmp_path / "s.parquet", train, [1, 2])
    found = read_subset(tmp_path / "s.parquet")
    assert (found.labelled, found.classes) == (False, ())
    with pytest.raises(DataError, match="set test, too"):
        open_source("images", train=_few(tmp_path))


def _few(tmp_path: Path) -> Path:
    _picture(tmp_path / "few" / "a.png", np.zeros((8, 8), np.uint8))
    return tmp_path / "few"


class Signals:
    """Signals as a network takes them, each with what `target` makes of its number."""

    def __init__(self, target) -> None:
        self.target = target

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int):
        if row >= len(self):
            raise IndexError(row)
        signal = torch.full((2, 16), float(row))
        return signal if self.target is None else (signal, self.target(row))


SETS = {
    "class": lambda row: row % 3,
    "numbers": lambda row: torch.tensor([row / 2, 1.0]),
    "mask": lambda row: torch.full((16, 1), row, dtype=torch.int64),
    "boxes": lambda row: {"boxes": torch.tensor([[0.0, 1, 2, 3 + row]] * row).view(-1, 4), "labels": [row] * row},
    "nothing": None,
}


def signals(kind: str):
    return Signals(SETS[kind]), Signals(SETS[kind])


def mixed():
    return Signals(SETS["class"]), Signals(None)


def broken():
    return Signals(lambda row: torch.tensor([float("nan") if row == 4 else 1.0])), Signals(lambda row: torch.ones(1))


@pytest.mark.parametrize("kind", SETS)
def test_sets_of_tensors_are_taken_as_they_are(kind, tmp_path):
    train, _ = open_source(f"{__name__}:signals", kind=kind)
    write_subset(tmp_path / "s.parquet", train, [4, 1])
    stored = read_subset(tmp_path / "s.parquet")
    for images, rows in ((train, [4, 1]), (stored, [0, 1])):
        found = decode(images, rows, None)
        assert torch.equal(found.pixels, torch.tensor([4.0, 1.0])[:, None, None].expand(2, 2, 16))
        if kind == "class":
            assert found.labels.tolist() == [1, 1]
        elif kind == "nothing":
            assert not images.labelled
        elif kind == "boxes":
            assert [target["boxes"].tolist() for target in found.labels] == [[[0, 1, 2, 7]] * 4, [[0, 1, 2, 4]]]
            assert [target["labels"].tolist() for target in found.labels] == [[4] * 4, [1]]
        else:
            assert torch.equal(found.labels.to(torch.float64), torch.stack([SETS[kind](4), SETS[kind](1)]).double())
    kept = decode_to(tmp_path / "d.npy", stored, None, None)
    again = decode_to(tmp_path / "d.npy", stored, None, None)
    assert torch.equal(kept.pixels, found.pixels)
    assert torch.equal(again.pixels, found.pixels)


def odd_boxes():
    return (Signals(lambda row: {"boxes": torch.zeros(2, 4), "labels": torch.zeros(2 - row % 2).long()}),) * 2


def test_boxes_without_as_many_labels_are_refused():
    train, _ = open_source(f"{__name__}:odd_boxes")
    with pytest.raises(DataError, match=r"the target of row 1 has boxes float32 \(2, 4\) and labels int64 \(1,\)"):
        targets_of(train, np.arange(6), None)


def test_sets_of_two_kinds_and_numbers_that_are_none_are_refused(tmp_path):
    with pytest.raises(
        DataError, match="the training set comes with a class for each input, the test set with no targets"
    ):
        open_source(f"{__name__}:mixed")
    train, _ = open_source(f"{__name__}:broken")
    with pytest.raises(DataError, match="the target of row 4 holds NaN"):
        targets_of(train, np.arange(6), None)


def test_pictures_without_a_preprocess_and_inputs_with_one_are_refused(masks):
    train, _ = open_source("masks", **masks)
    with pytest.raises(DataError, match="a picture, but without a preprocess"):
        decode(train, [0], None)
    inputs, _ = open_source(f"{__name__}:signals", kind="class")
    with pytest.raises((DataError, ConfigError)):
        decode(inputs, [0], Preprocess(**GREY))
