"""Boxes annotated as for COCO: found where the objects are, however pictures are cut; what is wrong is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from eagleeye.data import Batches, Preprocess, decode, decode_to, open_source, read_subset, write_subset
from eagleeye.data.targets import targets_of
from eagleeye.errors import DataError

GREY = {"mean": (0.5,), "std": (0.5,)}
WIDTH, HEIGHT = 80, 60
CATEGORIES = [{"id": 7, "name": "cell"}, {"id": 3, "name": "grain"}]
PLACES = {0: [20, 10, 24, 30], 1: [0, 40, 24, 20], 2: [70, 6, 10, 12], 4: [2, 2, 40.5, 50]}
"""x, y, width, height of the one object of each picture."""


def annotations(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text())
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """White objects on black; the fourth picture shows nothing."""
    for side in ("train", "test"):
        (tmp_path / side).mkdir()
        entries = []
        for row in range(5):
            pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
            if row in PLACES:
                x, y, width, height = (round(value) for value in PLACES[row])
                pixels[y : y + height, x : x + width] = 255
                category = 7 if row % 2 else 3
                entries.append({"id": row, "image_id": 10 + row, "category_id": category, "bbox": PLACES[row]})
            Image.fromarray(pixels).save(tmp_path / side / f"{row}.png")
        entries.append({"id": 9, "image_id": 13, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1})
        images = [{"id": 10 + row, "file_name": f"{row}.png", "width": WIDTH, "height": HEIGHT} for row in range(5)]
        content = {"images": images, "annotations": entries, "categories": CATEGORIES}
        (tmp_path / f"{side}.json").write_text(json.dumps(content))
    return tmp_path


def options(folder: Path) -> dict[str, Path]:
    sides = ("train", "test")
    return {f"{side}_images": folder / side for side in sides} | {
        f"{side}_annotations": folder / f"{side}.json" for side in sides
    }


def test_labels_count_from_one_by_category_and_crowds_are_left_out(folder: Path) -> None:
    train, test = open_source("coco", **options(folder))
    assert train.classes == test.classes == ("background", "grain", "cell")
    assert (len(train), len(test)) == (5, 5)
    found = targets_of(train, np.arange(5), None)
    assert [each["labels"].tolist() for each in found] == [[1], [2], [1], [], [1]]
    assert found[1]["boxes"].tolist() == [[0, 40, 24, 60]]
    assert found[3]["boxes"].shape == (0, 4)
    assert [found[0][name].dtype for name in ("boxes", "labels")] == [torch.float32, torch.int64]
    assert train.remarks == (f"{folder}/train.json: 1 annotations of crowds are left out",)


@pytest.mark.parametrize(
    ("size", "resize"), [(None, None), (24, 30), (None, 30)], ids=["as they are", "resized and cropped", "resized"]
)
def test_boxes_are_cut_as_their_pictures_are(folder: Path, size: int | None, resize: int | None) -> None:
    train, _ = open_source("coco", **options(folder))
    found = decode(train, None, Preprocess(size, resize, **GREY))
    for picture, target in zip(found.pixels[:, 0], found.labels, strict=True):
        rows, columns = torch.nonzero(picture > 127, as_tuple=True)
        # A centre crop leaves 4 pixels of the object at the left edge, and nothing of that at the right one.
        assert len(target["boxes"]) == len(target["labels"]) == (1 if len(rows) else 0)
        if len(rows):
            wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert (target["boxes"][0] - torch.tensor(wanted)).abs().max() <= 0.75
    if size:
        assert [len(target["boxes"]) for target in found.labels] == [1, 1, 0, 0, 1]


def test_square_pictures_are_scaled_with_their_boxes(tmp_path: Path) -> None:
    for side in ("train", "test"):
        (tmp_path / side).mkdir()
        Image.new("L", (40, 40)).save(tmp_path / side / "a.png")
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 20, 8]}
        images = [{"id": 1, "file_name": "a.png", "width": 40, "height": 40}]
        content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "a"}]}
        (tmp_path / f"{side}.json").write_text(json.dumps(content))
    train, _ = open_source("coco", **options(tmp_path))
    found = decode(train, None, Preprocess(20, None, **GREY))
    assert found.labels[0]["boxes"].tolist() == [[5, 10, 15, 14]]


def test_a_subset_and_a_file_of_pixels_keep_boxes(folder: Path, tmp_path: Path) -> None:
    train, _ = open_source("coco", **options(folder))
    write_subset(tmp_path / "s.parquet", train, [4, 3, 1])
    stored = read_subset(tmp_path / "s.parquet")
    assert (stored.classes, stored.target_kind) == (train.classes, "boxes")
    shape = Preprocess(24, 30, **GREY)
    wanted = targets_of(train, np.array([4, 3, 1]), shape)
    for found in (decode(stored, None, shape), decode_to(tmp_path / "d.npy", stored, None, shape)):
        batches = list(Batches(found, shape, batch_size=2, device="cpu", labelled=True))
        assert [len(targets) for _, targets in batches] == [2, 1]
        for target, right in zip([each for _, targets in batches for each in targets], wanted, strict=True):
            assert all(torch.equal(target[name], right[name]) for name in ("boxes", "labels"))


def _annotation(place: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["annotations"][place].update(values)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no name": (lambda content: content["categories"][0].pop("name"), r"category 7 has no name"),
    "one id twice": (lambda content: content["categories"][0].update(id=3), r"two categories have the id 3"),
    "no area": (_annotation(1, bbox=[5, 5, 0, 9]), r"annotation 1 has bbox \[5, 5, 0, 9\], which has no area"),
    "outside": (_annotation(1, bbox=[60, 5, 30, 9]), r"annotation 1 has bbox .*outside of its picture of 80x60 pixels"),
    "before": (_annotation(1, bbox=[-5, 5, 30, 9]), r"annotation 1 has bbox .*outside of its picture"),
    "no numbers": (_annotation(1, bbox=[1, 2, "a", 4]), r"annotation 1 has bbox .*; needed are four numbers"),
    "image": (_annotation(0, image_id=99), r"annotation 0 is of image 99, which is not in the file"),
    "category": (_annotation(0, category_id=1), r"annotation 0 is of category 1, which is not in the file"),
    "picture": (lambda content: content["images"][2].update(file_name="z.png"), r"image 12 is .*z\.png, .*missing"),
    "no size": (lambda content: content["images"][2].pop("width"), r"image 12 has width None"),
    "twice": (lambda content: content["images"][2].update(id=11), r"two images have one id"),
    "part": (lambda content: content.pop("annotations"), r"no list 'annotations' of objects"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_one_line(folder: Path, kind: str) -> None:
    change, said = BROKEN[kind]
    content = annotations(folder / "train.json")
    change(content)
    (folder / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=said) as caught:
        open_source("coco", **options(folder))
    assert "\n" not in str(caught.value)


def test_files_that_do_not_fit_each_other_are_refused(folder: Path) -> None:
    content = annotations(folder / "test.json")
    content["categories"][1]["name"] = "stone"
    (folder / "test.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"different categories, such as 3 \('grain'\)"):
        open_source("coco", **options(folder))
    for text, said in (("{", "cannot be read as JSON"), ("[]", "no list 'images'")):
        (folder / "test.json").write_text(text)
        with pytest.raises(DataError, match=said):
            open_source("coco", **options(folder))
    (folder / "test.json").unlink()
    with pytest.raises(DataError, match=r"test\.json cannot be read"):
        open_source("coco", **options(folder))


def test_a_picture_of_another_size_than_annotated_and_a_rounded_edge(folder: Path) -> None:
    content = annotations(folder / "train.json")
    content["annotations"][1]["bbox"] = [60, 5, 20.4, 9]
    (folder / "train.json").write_text(json.dumps(content))
    Image.new("L", (WIDTH // 2, HEIGHT // 2)).save(folder / "train" / "0.png")
    train, _ = open_source("coco", **options(folder))
    assert targets_of(train, np.array([1]), None)[0]["boxes"].tolist() == [[60, 5, 80, 14]]
    with pytest.raises(DataError, match=r"0\.png is 40x30 pixels, but 80x60 by its annotations"):
        targets_of(train, np.array([0]), None)
