"""Images in the ImageNet folder layout: one sub-folder per class."""

from pathlib import Path

import numpy as np

from eagleeye.data.images import Labels
from eagleeye.errors import DataError


class FolderImages:
    """An image set over files; their bytes are read when asked for.

    Attributes:
        paths: File of every row.
        classes: Names of the classes, by label.
        labels: int64 (N,).
    """

    classes: tuple[str, ...]
    labels: Labels

    def __init__(self, samples: list[tuple[str, int]], classes: tuple[str, ...]) -> None:
        self.paths = [path for path, _ in samples]
        self.classes = classes
        self.labels = np.array([label for _, label in samples], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def origin(self, row: int) -> str:
        """The file of a row."""
        return self.paths[row]

    def encoded(self, row: int) -> bytes:
        """The bytes of the file of a row."""
        try:
            return Path(self.paths[row]).read_bytes()
        except OSError as cause:
            raise DataError(f"row {row} ({self.paths[row]}) cannot be read: {cause.strerror}") from cause


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
    first, second = _listed(Path(train).expanduser()), _listed(Path(test).expanduser())
    if first.classes != second.classes:
        odd = sorted(set(first.classes) ^ set(second.classes))
        side = train if odd[0] in second.classes else test
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise DataError(f"class {odd[0]!r}{more} is missing in {side}: training and test set need the same classes")
    return first, second


def _listed(folder: Path) -> FolderImages:
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the one that holds a sub-folder per class")
    try:
        classes, index = find_classes(folder)
    except FileNotFoundError as cause:
        raise DataError(f"{folder} has no sub-folders: needed is one per class, with its images inside") from cause
    samples = make_dataset(str(folder), index, extensions=IMG_EXTENSIONS, allow_empty=True)
    images = FolderImages(samples, tuple(classes))
    empty = np.flatnonzero(np.bincount(images.labels, minlength=len(classes)) == 0)
    if len(empty):
        raise DataError(
            f"class {classes[empty[0]]!r} is empty: {folder / classes[empty[0]]} holds no image "
            f"({', '.join(IMG_EXTENSIONS)}); add images or remove the folder"
        )
    return images
