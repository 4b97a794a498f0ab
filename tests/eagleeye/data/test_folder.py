"""The ImageNet folder layout."""

import os
import socket
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


def test_files_in_folders_of_a_class_come_as_torchvision_has_them(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", **{"cat": 3, "cat/a": 2, "cat/a-b": 2, "cat/a/c": 2, "cat/B": 2, "dog.jpg": 2})
    (train / "dog.jpg" / "LOUD.JPEG").write_bytes((train / "cat" / "0.png").read_bytes())
    (train / "owl").symlink_to(train / "cat" / "a")
    (train / "cat" / "link.png").symlink_to(train / "cat" / "0.png")
    images, _ = open_source("imagefolder", train=train, test=train)
    expected = ImageFolder(train)
    assert images.paths == [path for path, _ in expected.samples]
    assert images.labels.tolist() == expected.targets
    assert images.classes == tuple(expected.classes)


def test_hidden_folders_and_files_are_none(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2, dog=1)
    clean, _ = open_source("imagefolder", train=train, test=train)
    for name in (".git", ".ipynb_checkpoints", "__MACOSX", "cat/.thumbnails", "dog/__MACOSX"):
        folder(train, **{name: 1})
    for name in ("._0.png", ".DS_Store", "cat/._0.png", "dog/.DS_Store"):
        (train / name).write_bytes(b"Mac OS X")
    images, _ = open_source("imagefolder", train=train, test=train)
    assert (images.classes, images.paths, images.remarks) == (clean.classes, clean.paths, ())


def test_what_is_skipped_for_its_ending_is_counted(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2, dog=1)
    test = folder(tmp_path / "test", cat=2, dog=1)
    for name in ("cat/a.gif", "cat/b.GIF", "dog/c.heic", "dog/README", "dog/d.gif"):
        (train / name).write_bytes(b"GIF89a")
    images, other = open_source("imagefolder", train=train, test=test)
    [remark] = images.remarks
    assert remark.startswith(f"{train}: 5 files are skipped for the ending (.gif 3, .heic 1, none 1); ")
    assert ".jpg, .jpeg, .png" in remark
    assert other.remarks == ()
    for picture in (train / "dog").glob("*.png"):
        picture.unlink()
    message = r"class 'dog' is empty: .* holds no image \(.*\), 3 files are skipped for the ending"
    with pytest.raises(DataError, match=message):
        open_source("imagefolder", train=train, test=test)


@pytest.mark.parametrize("target", ["..", "../..", ".", "../cat", "../../train/dog/../cat"])
def test_a_link_that_leads_in_a_circle_is_named(tmp_path: Path, target: str) -> None:
    train = folder(tmp_path / "train", cat=2, dog=1)
    (train / "cat" / "again").symlink_to(target, target_is_directory=True)
    with pytest.raises(DataError, match=r"again.* is a link to a folder that holds it: remove it"):
        open_source("imagefolder", train=train, test=train)


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2)
    (train / "cat" / "x.png").symlink_to("x.png")
    with pytest.raises(DataError, match=r"x\.png cannot be read: Too many levels of symbolic links; remove it"):
        open_source("imagefolder", train=train, test=train)


def test_what_is_no_file_is_named_and_never_read(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2)
    odd = train / "cat" / "x.png"
    os.mkfifo(odd)
    with pytest.raises(DataError, match=r"x\.png is a named pipe instead of a picture: remove it"):
        open_source("imagefolder", train=train, test=train)
    odd.unlink()
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(train / "cat")  # a socket's path must be short
        server.bind("x.png")
    with pytest.raises(DataError, match=r"x\.png is a socket instead"):
        open_source("imagefolder", train=train, test=train)
    odd.unlink()
    for target, words in (("/dev/zero", "is a device instead"), ("gone.png", "is a link to a file that is missing")):
        odd.symlink_to(target)
        with pytest.raises(DataError, match=rf"x\.png {words}"):
            open_source("imagefolder", train=train, test=train)
        odd.unlink()
    # One that takes a picture's place later, or comes from a list of one's own.
    images, _ = open_source("imagefolder", train=train, test=train)
    (train / "cat" / "1.png").unlink()
    os.mkfifo(train / "cat" / "1.png")
    with pytest.raises(DataError, match=r"row 1 \(.*1\.png\) is no picture"):
        images.encoded(1)


def test_a_file_too_large_for_a_picture_is_not_read(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", cat=2)
    images, _ = open_source("imagefolder", train=train, test=train)
    with (train / "cat" / "0.png").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"row 0 \(.*0\.png\) is no picture: no file, or one of more than 1\.1 GB"):
        images.encoded(0)


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = folder(tmp_path / "train", cat=2, **{"cat/deep": 2})
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    # Root may read everything.
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"cat/deep cannot be read: Permission denied"):
        open_source("imagefolder", train=train, test=train)


def test_real_folders(shared_data: Path) -> None:
    root = shared_data / "imagenette-mini"
    train, test = open_source("imagefolder", train=root / "train", test=root / "val")
    assert (len(train), len(test), len(train.classes)) == (600, 200, 10)
    found = decode(train, range(0, 600, 20), Preprocess(size=128, resize=144))
    assert found.pixels.shape == (30, 3, 128, 128)
