"""Images in the ImageNet folder layout: one sub-folder per class."""

import stat
from collections import Counter
from pathlib import Path

import numpy as np

from eagleeye.data.images import Labels
from eagleeye.data.listing import class_names, pictures_below
from eagleeye.errors import DataError

# Bytes of a file at most: what the largest picture that is decoded takes without any compression.
_LARGEST = 1 << 30


class FolderImages:
    """An image set over files; their bytes are read when asked for.

    Attributes:
        paths: File of every row.
        classes: Names of the classes, by label.
        labels: int64 (N,).
        remarks: What the user should know about the set, such as files that were passed over.
    """

    classes: tuple[str, ...]
    labels: Labels

    def __init__(self, samples: list[tuple[str, int]], classes: tuple[str, ...], remarks: tuple[str, ...] = ()) -> None:
        self.paths = [path for path, _ in samples]
        self.classes = classes
        self.remarks = remarks
        self.labels = np.array([label for _, label in samples], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def origin(self, row: int) -> str:
        """The file of a row."""
        return self.paths[row]

    def encoded(self, row: int) -> bytes:
        """The bytes of the file of a row."""
        path = Path(self.paths[row])
        try:
            found = path.stat()
            # Reading from a pipe or a device may never end.
            if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST:
                return path.read_bytes()
        except (OSError, ValueError) as cause:
            reason = cause.strerror if isinstance(cause, OSError) else cause
            raise DataError(f"row {row} ({path}) cannot be read: {reason}") from cause
        raise DataError(f"row {row} ({path}) is no picture: no file, or one of more than {_LARGEST / 1e9:.1f} GB")


def open_folders(train: str | Path, test: str | Path) -> tuple[FolderImages, FolderImages]:
    """Training and test set from two folders of class folders.

    Args:
        train: Folder with one sub-folder per class; classes are numbered in alphabetical order.
        test: The same, with the same classes.

    Returns:
        Training set and test set.

    Raises:
        DataError: A folder is missing, a class has no images, or the two have different classes.
    """
    first = open_folder(train)
    second = open_folder(test)
    if first.classes != second.classes:
        odd = sorted(set(first.classes) ^ set(second.classes))
        side = train if odd[0] in second.classes else test
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise DataError(f"class {odd[0]!r}{more} is missing in {side}: training and test set need the same classes")
    return first, second


def open_folder(folder: str | Path) -> FolderImages:
    """An image set from one folder of class folders.

    Args:
        folder: Folder with one sub-folder per class; classes are numbered in alphabetical order.

    Raises:
        DataError: The folder is missing, or a class has no images.
    """
    folder = Path(folder).expanduser()
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds a sub-folder per class")
    classes = class_names(folder)
    endings = ", ".join(IMG_EXTENSIONS)
    if not classes:
        raise DataError(f"{folder} has no sub-folders: needed is one per class, with its images inside")
    samples: list[tuple[str, int]] = []
    skipped: Counter[str] = Counter()
    for label, name in enumerate(classes):
        pictures, others = pictures_below(folder, name, IMG_EXTENSIONS)
        if not pictures:
            raise DataError(
                f"class {name!r} is empty: {folder / name} holds no image ({endings}){_but(others)}; add images or "
                "remove the folder"
            )
        samples += [(path, label) for path in pictures]
        skipped += others
    remarks = (f"{folder}: {_counted(skipped)}; the names of images end in {endings}",) if skipped else ()
    return FolderImages(samples, tuple(classes), remarks)


def _but(skipped: Counter[str]) -> str:
    return f", {_counted(skipped)}" if skipped else ""


def _counted(skipped: Counter[str]) -> str:
    total = skipped.total()
    files = f"{total} file is" if total == 1 else f"{total} files are"
    kinds = sorted(skipped.items(), key=lambda kind: (-kind[1], kind[0]))
    return f"{files} skipped for the ending ({', '.join(f'{end} {count}' for end, count in kinds)})"
