"""Parquet files by the hub's convention, whole and damaged."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eagleeye.data import Preprocess, decode, open_source, parquet
from eagleeye.data.parquet import ParquetImages
from eagleeye.errors import ConfigError, DataError

NAMES = ("cat", "dog", "owl")


def content(row: int) -> bytes:
    return f"image {row}".encode() * 50


def written(path: Path, rows: range, names: tuple[str, ...] | None = NAMES, **changes) -> Path:
    image = [{"bytes": content(row), "path": None} for row in rows]
    columns = {"image": image, "label": [row % 3 for row in rows], **changes}
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    if names is not None:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=7)
    return path


def test_shards_in_order_row_by_row(tmp_path: Path) -> None:
    written(tmp_path / "train-1.parquet", range(20, 33))
    written(tmp_path / "train-0.parquet", range(20))
    images = ParquetImages(str(tmp_path / "train-*.parquet"))
    assert len(images) == 33
    assert images.classes == NAMES
    assert images.labels.tolist() == [row % 3 for row in range(33)]
    assert images.labels.dtype == np.int64
    for row in np.random.default_rng(0).permutation(33).tolist():
        assert images.encoded(row) == content(row)
    assert images.origin(19).endswith("train-0.parquet")
    assert images.origin(20).endswith("train-1.parquet")
    with pytest.raises(IndexError):
        images.encoded(33)


def test_a_list_keeps_its_order_and_a_path_may_hold_glob_characters(tmp_path: Path) -> None:
    one = written(tmp_path / "b[1].parquet", range(5))
    two = written(tmp_path / "a.parquet", range(5, 9))
    images = ParquetImages([one, two])
    assert [images.encoded(row) for row in range(9)] == [content(row) for row in range(9)]


def test_row_groups_read_longest_ago_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ParquetImages(written(tmp_path / "t.parquet", range(70)))
    limit = 3 * 7 * (len(content(10)) + 8)
    monkeypatch.setattr(parquet, "_HELD_BYTES", limit)
    for row in np.random.default_rng(0).permutation(70).tolist():
        assert images.encoded(row) == content(row)
        assert sum(held.nbytes for held in images._held.values()) <= limit
    assert 1 <= len(images._held) <= 3


def test_other_column_names(tmp_path: Path) -> None:
    image = [{"bytes": content(row), "path": "x"} for row in range(4)]
    path = written(tmp_path / "t.parquet", range(4), None, image=None, label=None, img=image, fine=[0, 1, 1, 0])
    options = {"train": str(path), "test": str(path)}
    train, _ = open_source("parquet", **options, image_column="img", label_column="fine")
    assert train.encoded(3) == content(3)
    assert train.labels.tolist() == [0, 1, 1, 0]
    with pytest.raises(DataError, match=r"t\.parquet has no column 'image', only img, fine: set image_column"):
        open_source("parquet", **options)


def test_classes_of_training_and_test_set_agree(tmp_path: Path) -> None:
    named = written(tmp_path / "named.parquet", range(6))
    other = written(tmp_path / "other.parquet", range(6), ("owl", "dog", "cat"))
    plain = written(tmp_path / "plain.parquet", range(6), None)
    short = written(tmp_path / "short.parquet", range(6), None, label=[0, 0, 1, 1, 0, 0])
    for pair, classes in (((plain, named), NAMES), ((named, short), NAMES), ((short, plain), ("0", "1", "2"))):
        train, test = open_source("parquet", train=pair[0], test=pair[1])
        assert train.classes == test.classes == classes
    with pytest.raises(DataError, match=r"other\.parquet names 3 classes and .*named\.parquet 3, or others"):
        open_source("parquet", train=named, test=other)
    with pytest.raises(DataError, match=r"named\.parquet names"):
        ParquetImages([other, named])
    more = written(tmp_path / "more.parquet", range(6), None, label=[0, 1, 2, 3, 4, 5])
    with pytest.raises(DataError, match=r"more\.parquet: row 3 has label 3, allowed are 0 to 2"):
        open_source("parquet", train=named, test=more)


def test_missing_files(tmp_path: Path) -> None:
    good = written(tmp_path / "t.parquet", range(3))
    for missing in (tmp_path / "no.parquet", str(tmp_path / "no-*.parquet")):
        with pytest.raises(DataError, match=r"no.*\.parquet: there is no such Parquet file"):
            open_source("parquet", train=good, test=missing)
    with pytest.raises(DataError, match="is a folder: give its files"):
        open_source("parquet", train=tmp_path, test=good)
    with pytest.raises(DataError, match="list of Parquet files is empty"):
        open_source("parquet", train=[], test=good)
    with pytest.raises(ConfigError, match="parquet needs the option 'test'"):
        open_source("parquet", train=good)


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.99])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path / "t.parquet", range(30))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole) if kept < 1 else kept)])
    with pytest.raises(DataError, match=r"t\.parquet is not a whole Parquet file") as caught:
        ParquetImages(path)
    assert "\n" not in str(caught.value)


def test_damage_inside_of_the_images(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    image = [{"bytes": np.random.default_rng(row).bytes(5000), "path": None} for row in range(7)]
    table = pa.table({"label": [0] * 7, "image": image})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    images = ParquetImages(path)
    with pytest.raises(DataError, match=r"t\.parquet: row group 0 is damaged"):
        images.encoded(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": None}, "has no column 'label', only image: set label_column"),
        ({"image": [b"x"] * 9}, "column 'image' is binary; needed is struct<bytes: binary"),
        ({"image": [{"path": "x"}] * 9}, "needed is struct<bytes: binary"),
        ({"label": [0.5] * 9}, "column 'label' is double; needed are whole numbers"),
        ({"label": [0, 1, None, *[0] * 6]}, "row 2 has no label"),
        ({"label": [0, -1, *[0] * 7]}, "row 1 has label -1, allowed are 0 to 2"),
        ({"label": [0, 1, 2, 3, *[0] * 5]}, "row 3 has label 3, allowed are 0 to 2"),
    ],
)
def test_columns_that_are_not_what_they_should_be(tmp_path: Path, changes: dict, message: str) -> None:
    path = written(tmp_path / "t.parquet", range(9), **changes)
    with pytest.raises(DataError) as caught:
        ParquetImages(path)
    assert "t.parquet" in str(caught.value)
    assert message in str(caught.value)


def test_an_image_that_is_null_names_its_row(tmp_path: Path) -> None:
    image = [{"bytes": content(row), "path": None} for row in range(20)]
    image[11] = {"bytes": None, "path": "elsewhere.png"}
    image[13] = None
    images = ParquetImages(written(tmp_path / "t.parquet", range(20), image=image))
    assert images.encoded(12) == content(12)
    for row in (11, 13):
        with pytest.raises(DataError, match=rf"row {row} \(.*t\.parquet\): image.bytes is null"):
            images.encoded(row)


def test_a_row_is_named_by_its_place_in_its_own_file(tmp_path: Path) -> None:
    image = [{"bytes": content(row), "path": None} for row in range(9)]
    image[4] = None
    written(tmp_path / "t-0.parquet", range(20))
    second = written(tmp_path / "t-1.parquet", range(9), image=image)
    written(tmp_path / "t-2.parquet", range(9))
    images = ParquetImages(str(tmp_path / "t-*.parquet"))
    with pytest.raises(DataError, match=r"^row 4 \(.*t-1\.parquet\): image.bytes is null"):
        images.encoded(24)
    for row, place in ((20, 0), (28, 8)):
        with pytest.raises(DataError, match=rf"^row {place} \(.*t-1\.parquet\) cannot be decoded"):
            decode(images, [row], Preprocess())
    with pytest.raises(DataError, match=r"^row 0 \(.*t-2\.parquet\) cannot be decoded"):
        decode(images, [29], Preprocess())
    written(second, range(9), label=[0, 1, 2, 0, 1, 2, 0, 7, 1])
    with pytest.raises(DataError, match=r"t-1\.parquet: row 7 has label 7, allowed are 0 to 2"):
        ParquetImages(str(tmp_path / "t-*.parquet"))


def test_a_number_that_is_no_class_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet", range(9), None, label=[0, 1, 2, 10**9, *[0] * 5])
    with pytest.raises(DataError, match=r"t\.parquet: row 3 has label 1000000000, and the classes have no names"):
        open_source("parquet", train=path, test=path)
    huge = pa.array([0, 2**64 - 1, *[0] * 7], pa.uint64())
    with pytest.raises(DataError, match=r"t\.parquet: row 1 has label -1"):
        ParquetImages(written(path, range(9), None, label=huge))


def test_a_stand_in_and_a_pipe_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(DataError, match=r"t\.parquet is a git-lfs pointer instead of the file: fetch it by"):
        ParquetImages(path)
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(DataError, match=r"pipe\.parquet is no file"):
        ParquetImages(tmp_path / "pipe.parquet")


def test_a_file_without_rows(tmp_path: Path) -> None:
    image = pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path = written(tmp_path / "t.parquet", range(0), image=image, label=pa.array([], pa.int64()))
    with pytest.raises(DataError, match="no rows"):
        ParquetImages(path)


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "cifar10"
    train, test = open_source("parquet", train=folder / "train-*.parquet", test=folder / "test-*.parquet")
    table = pq.read_table(next(folder.glob("test-*.parquet")))
    assert (len(train), len(test)) == (50_000, 10_000)
    assert train.classes == test.classes
    assert train.classes[3] == "cat"
    assert test.labels.tolist() == table["label"].to_pylist()
    assert test.encoded(9_876) == table["image"][9_876].as_py()["bytes"]
    assert np.bincount(train.labels).tolist() == [5000] * 10
