"""Pictures with several labels or numbers each: a table of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eagleeye.data.folder import FolderImages
from eagleeye.data.targets import NUMBERS, encoded_numbers
from eagleeye.errors import DataError
from eagleeye.references import described


class ListedImages(FolderImages):
    """Pictures with numbers each.

    Attributes:
        numbers: float32 (N, columns).
    """

    target_kind = NUMBERS

    def __init__(self, files: Sequence[str], numbers: np.ndarray, columns: tuple[str, ...]) -> None:
        super().__init__([(file, 0) for file in files], columns)
        self.numbers = numbers

    def encoded_target(self, row: int) -> bytes:
        """The numbers of a row as a NumPy file."""
        return encoded_numbers(self.numbers[row])


def open_listed(
    train: str | Path,
    test: str | Path,
    target_columns: Sequence[str],
    image_column: str = "image",
    root: str | Path | None = None,
) -> tuple[ListedImages, ListedImages]:
    """Training and test set from two tables.

    Args:
        train: A CSV or Parquet file with a picture's file and its numbers in every row.
        test: Likewise.
        target_columns: Columns of the numbers, in the order of the network's outputs: 0 and 1 for several labels.
        image_column: Column of the files.
        root: Folder that files are relative to; None: that of their table.

    Raises:
        DataError: A table or a file is missing, or a value is no number.
    """
    if isinstance(target_columns, str) or not target_columns:
        raise DataError(f"target_columns is {target_columns!r}: needed is a list of columns of the table")
    columns = tuple(target_columns)
    first, second = (_opened(Path(path).expanduser(), columns, image_column, root) for path in (train, test))
    return first, second


def _opened(path: Path, columns: tuple[str, ...], image_column: str, root: str | Path | None) -> ListedImages:
    table = _read(path)
    for column in (image_column, *columns):
        if column not in table:
            raise DataError(f"{path} has no column {column!r}, only {', '.join(map(str, table.columns))}")
    if table.empty:
        raise DataError(f"{path} has no rows")
    folder = path.parent if root is None else Path(root).expanduser()
    files = [(folder / str(name)).as_posix() for name in table[image_column]]
    if missing := [number for number, file in enumerate(files) if not Path(file).is_file()]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"{path}: row {missing[0]} names {files[missing[0]]}, which is missing{more}: bring it back")
    return ListedImages(files, _numbers(table, columns, path), columns)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    # A file of another kind makes pandas raise almost anything.
    except Exception as cause:
        raise DataError(f"{path} cannot be read as a table ({described(cause)}): give a CSV or Parquet file") from cause


def _numbers(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> np.ndarray:
    found = np.empty((len(table), len(columns)), np.float32)
    for place, column in enumerate(columns):
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if len(wrong := np.flatnonzero(~np.isfinite(values))):
            raise DataError(
                f"{path}: row {wrong[0]} has {table[column].iloc[wrong[0]]!r} in column {column!r}; needed are finite"
                " numbers: mend the row or leave it out"
            )
        found[:, place] = values
    return found
