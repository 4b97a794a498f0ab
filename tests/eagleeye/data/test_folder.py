"""The ImageNet folder layout."""

from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from eagleeye.data import Preprocess, decode, open_source
from eagleeye.errors import DataError


def folder(path: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4), (number, 0, len(name))).save(path / name / f"{number}.png")
    return path


def test_rows_labels_and_bytes_are_those_of_torchvision(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", owl=3, cat=12, dog=1)
    (train / "cat" / "notes.txt").write_text("no image")
    test = folder(tmp_path / "test", cat=1, dog=1, owl=1)
    images, other = open_source("imagefolder", train=train, test=str(test))
    expected = ImageFolder(train)
    assert images.classes == other.classes == tuple(expected.classes)
    assert images.labels.tolist() == expected.targets
    for row, (path, _) in enumerate(expected.samples):
        assert images.encoded(row) == Path(path).read_bytes()
        assert images.origin(row) == path


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2, dog=0, owl=1)
    test = folder(tmp_path / "test", cat=1, dog=1, owl=1)
    (train / "dog" / "notes.txt").write_text("no image")
    for pair in ((train, test), (test, train)):
        with pytest.raises(DataError, match=r"class 'dog' is empty: .*train/dog holds no image"):
            open_source("imagefolder", train=pair[0], test=pair[1])


def test_classes_must_be_the_same(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=1, dog=1)
    test = folder(tmp_path / "test", cat=1, dog=1, owl=1, yak=1)
    with pytest.raises(DataError, match=r"class 'owl' and 1 more is missing in .*/train"):
        open_source("imagefolder", train=train, test=test)
    with pytest.raises(DataError, match=r"class 'owl' and 1 more is missing in .*/train"):
        open_source("imagefolder", train=test, test=train)


def test_missing_folders_and_classes(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=1)
    (tmp_path / "flat").mkdir()
    with pytest.raises(DataError, match="nowhere is not a folder"):
        open_source("imagefolder", train=train, test=tmp_path / "nowhere")
    with pytest.raises(DataError, match="flat has no sub-folders"):
        open_source("imagefolder", train=tmp_path / "flat", test=train)


def test_a_damaged_or_vanished_file_is_named(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=3)
    images, _ = open_source("imagefolder", train=train, test=train)
    (train / "cat" / "1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"row 1 \(.*cat/1\.png\) cannot be decoded"):
        decode(images, None, Preprocess())
    (train / "cat" / "1.png").unlink()
    with pytest.raises(DataError, match=r"row 1 \(.*cat/1\.png\) cannot be read: No such file"):
        decode(images, None, Preprocess())


def test_real_folders(shared_data: Path) -> None:
    root = shared_data / "imagenette-mini"
    train, test = open_source("imagefolder", train=root / "train", test=root / "val")
    assert (len(train), len(test), len(train.classes)) == (600, 200, 10)
    found = decode(train, range(0, 600, 20), Preprocess(size=128, resize=144))
    assert found.pixels.shape == (30, 3, 128, 128)
