"""Images in Parquet files, by the convention of the Hugging Face hub.

Columns `image: struct<bytes: binary, path: string>` and `label: int64`; the names of the classes lie in the
schema's metadata, as JSON under the key `huggingface`.
"""

import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eagleeye.data.images import Labels, check_labels, numbered_classes
from eagleeye.errors import DataError
from eagleeye.foreign import LOOKED_AT, recognised
from eagleeye.references import described

Shards = str | Path | Sequence[str | Path]

# Encoded bytes held in memory at most, per set; beyond it the row group read longest ago is dropped.
_HELD_BYTES = 1 << 30


class ParquetImages:
    """An image set over one or many Parquet files; row groups are read when one of their images is asked for.

    Args:
        shards: A path, a glob pattern, or a list of these.
        image_column: Name of the column that holds the images.
        label_column: Name of the column that holds the labels.

    Raises:
        DataError: A file is missing or damaged, or its columns are not what they should be.
    """

    classes: tuple[str, ...]
    labels: Labels

    def __init__(self, shards: Shards, *, image_column: str = "image", label_column: str = "label") -> None:
        self.paths = _expanded(shards)
        self.column = image_column
        metadata = [_checked_metadata(path, image_column, label_column) for path in self.paths]
        names = {path: _class_names(file, label_column) for path, file in zip(self.paths, metadata, strict=True)}
        sizes = [[file.row_group(group).num_rows for group in range(file.num_row_groups)] for file in metadata]
        self._groups = [(shard, group) for shard, rows in enumerate(sizes) for group in range(len(rows))]
        self._ends = np.cumsum([count for rows in sizes for count in rows], dtype=np.int64)
        self._held: dict[int, pa.ChunkedArray] = {}
        labels = np.concatenate([read_integers(path, label_column) for path in self.paths])
        if not len(labels):
            raise DataError(f"{self.source}: there are no rows")
        self._starts = np.cumsum([0, *(file.num_rows for file in metadata)], dtype=np.int64)
        self.has_names = any(names.values())
        self.classes = _agreed(names) or numbered_classes(labels, self.source)
        self.labels = labels
        self.rename(self.classes)

    @property
    def source(self) -> str:
        """The file's name, with the number of further files where there are any."""
        return str(self.paths[0]) + (f" (and {len(self.paths) - 1} more)" if len(self.paths) > 1 else "")

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        # What was read stays behind: a data loader's workers read for themselves.
        return {**self.__dict__, "_held": {}}

    def rename(self, classes: tuple[str, ...]) -> None:
        """Take a list of classes, or raise a DataError that names the first label outside of it."""
        # File by file, so that a row is named by its place in its own.
        parts = zip(self.paths, np.split(self.labels, self._starts[1:-1]), strict=True)
        self.labels = np.concatenate([check_labels(part, classes, str(path)) for path, part in parts])
        self.classes = classes

    def origin(self, row: int) -> str:
        """The file that holds a row."""
        return str(self.paths[self._shard_of(row)])

    def named(self, row: int) -> str:
        """A row as error messages name it: by its place in its own file."""
        return f"row {row - self._starts[self._shard_of(row)]} ({self.origin(row)})"

    def encoded(self, row: int) -> bytes:
        """The bytes of the image in a row, as stored."""
        group = self._group_of(row)
        first = 0 if group == 0 else int(self._ends[group - 1])
        data: bytes | None = self._bytes_of(group)[row - first].as_py()
        if data is None:
            raise DataError(f"{self.named(row)}: {self.column}.bytes is null; images must be embedded in the file")
        return data

    def _group_of(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return int(np.searchsorted(self._ends, row, side="right"))

    def _shard_of(self, row: int) -> int:
        return self._groups[self._group_of(row)][0]

    def _bytes_of(self, group: int) -> pa.ChunkedArray:
        held = self._held.get(group)
        if held is None:
            shard, number = self._groups[group]
            held = _image_bytes(self.paths[shard], number, self.column)
            while self._held and held.nbytes + sum(kept.nbytes for kept in self._held.values()) > _HELD_BYTES:
                del self._held[next(iter(self._held))]
            self._held[group] = held
        return held


def open_parquet(
    train: Shards, test: Shards, image_column: str = "image", label_column: str = "label"
) -> tuple[ParquetImages, ParquetImages]:
    """Training and test set from Parquet files; both name the same classes."""
    pair = tuple(
        ParquetImages(shards, image_column=image_column, label_column=label_column) for shards in (train, test)
    )
    names = {part.paths[0]: part.classes for part in pair if part.has_names}
    # Without names in any file, the largest label is all there is to go by.
    classes = _agreed(names) if names else max((part.classes for part in pair), key=len)
    for part in pair:
        part.rename(classes)
    return pair[0], pair[1]


def hub_metadata(classes: Sequence[str]) -> dict[str, str]:
    """The schema metadata that names the classes of column `label`."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def _expanded(shards: Shards) -> tuple[Path, ...]:
    patterns = [shards] if isinstance(shards, str | Path) else list(shards)
    paths: list[Path] = []
    for pattern in patterns:
        whole = str(Path(pattern).expanduser())
        found = [whole] if Path(whole).exists() else sorted(glob.glob(whole, recursive=True))  # noqa: PTH207
        if not found:
            raise DataError(f"{pattern}: there is no such Parquet file, and the pattern matches none")
        paths += [Path(name) for name in found]
    if not paths:
        raise DataError("the list of Parquet files is empty")
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder: give its files, as {path}/*.parquet")
        # Opening a pipe would wait for somebody to write to it.
        if not path.is_file():
            raise DataError(f"{path} is no file: a pipe, a socket or a device cannot be read as Parquet")
    return tuple(paths)


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet file, or a DataError that says what it is instead."""
    try:
        return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as cause:
        if kind := _recognised(path):
            raise DataError(f"{path} is {kind}") from cause
        raise DataError(f"{path} is not a whole Parquet file ({described(cause)}): fetch or write it again") from cause


def _recognised(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return recognised(file.read(LOOKED_AT))
    except OSError:
        return None


def _checked_metadata(path: Path, image_column: str, label_column: str) -> pq.FileMetaData:
    with opened(path) as file:
        schema = file.schema_arrow
        for column, option in ((image_column, "image_column"), (label_column, "label_column")):
            if column not in schema.names:
                raise DataError(
                    f"{path} has no column {column!r}, only {', '.join(schema.names)}: set {option} to the right one"
                )
        image = schema.field(image_column).type
        label = schema.field(label_column).type
        if not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
            raise DataError(
                f"{path}: column {image_column!r} is {image}; needed is struct<bytes: binary, path: string>"
            )
        if not pa.types.is_integer(label):
            raise DataError(f"{path}: column {label_column!r} is {label}; needed are whole numbers (int64)")
        return file.metadata


def _class_names(metadata: pq.FileMetaData, label_column: str) -> tuple[str, ...]:
    stored = (metadata.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(stored)["info"]["features"][label_column]["names"]
        return tuple(str(name) for name in names)
    except (ValueError, KeyError, TypeError):
        return ()


def _agreed(names: dict[Path, tuple[str, ...]]) -> tuple[str, ...]:
    (first, classes), *others = names.items()
    for path, other in others:
        if other != classes:
            raise DataError(
                f"{path} names {len(other)} classes and {first} {len(classes)}, or others: one list is needed"
            )
    return classes


def read_column(path: Path, column: str) -> pa.ChunkedArray:
    """A column, or a DataError if it is missing or damaged."""
    with opened(path) as file:
        if column not in file.schema_arrow.names:
            raise DataError(f"{path} has no column {column!r}, only {', '.join(file.schema_arrow.names)}")
        try:
            return file.read(columns=[column], use_threads=False).column(0)
        except (pa.ArrowException, OSError) as cause:
            raise DataError(f"{path}: column {column!r} is damaged ({described(cause)}): fetch it again") from cause


def read_integers(path: Path, column: str) -> Labels:
    """A column of whole numbers, int64 (N,)."""
    values = read_column(path, column)
    if values.null_count:
        row = values.is_null().to_pylist().index(True)
        raise DataError(f"{path}: row {row} has no label (null in column {column!r}); leave such rows out")
    return np.asarray(values.to_numpy(), dtype=np.int64)


def _image_bytes(path: Path, group: int, column: str) -> pa.ChunkedArray:
    with opened(path) as file:
        try:
            # Without Arrow's threads: they do not survive the fork of a data loader's workers.
            table = file.read_row_group(group, columns=[f"{column}.bytes"], use_threads=False)
        except (pa.ArrowException, OSError) as cause:
            raise DataError(f"{path}: row group {group} is damaged ({described(cause)}): fetch it again") from cause
    return table.flatten().column(f"{column}.bytes")
