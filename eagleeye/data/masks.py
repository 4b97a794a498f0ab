"""Pictures with a class for every pixel: two folders, of pictures and of masks with the same names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from eagleeye.data.folder import FolderImages
from eagleeye.data.listing import pictures_below
from eagleeye.data.targets import MASK, encoded_mask
from eagleeye.errors import DataError

NONE = 255
"""Pixels of this value belong to no class."""
_READ = {"L", "P", "1"}


class MaskedImages(FolderImages):
    """Pictures, each with the mask of the same name.

    Attributes:
        masks: File of every row's mask.
        values: Pixel values in the order of the classes; None: a value is a class.
    """

    target_kind = MASK

    def __init__(
        self, pairs: Sequence[tuple[str, str]], classes: tuple[str, ...], values: Sequence[int] | None
    ) -> None:
        super().__init__([(picture, 0) for picture, _ in pairs], classes)
        self.masks = [mask for _, mask in pairs]
        self.values = None if values is None else list(values)

    def encoded_target(self, row: int) -> bytes:
        """The mask of a row as a PNG of class numbers."""
        path = self.masks[row]
        with Image.open(io.BytesIO(Path(path).read_bytes())) as file:
            if file.mode not in _READ:
                raise DataError(
                    f"{path} is a picture of mode {file.mode}; needed is a mask of grey values or a palette, whose"
                    " numbers are the classes"
                )
            pixels = np.array(file.convert("L") if file.mode == "1" else file)
        found = np.unique(pixels).tolist()
        if self.values is None and set(found) == {0, NONE}:
            raise DataError(
                f"{path} holds the values 0 and {NONE} alone, and {NONE} stands for no class: set the option values to"
                f" what the classes are, e.g. [0, {NONE}] for background and object"
            )
        return encoded_mask(pixels if self.values is None else self._classes(pixels, found, path))

    def _classes(self, pixels: np.ndarray, found: list[int], path: str) -> np.ndarray:
        assert self.values is not None
        table = np.full(256, NONE, np.uint8)
        table[self.values] = np.arange(len(self.values))
        if strange := [value for value in found if value not in {*self.values, NONE}]:
            raise DataError(
                f"{path} holds the value {strange[0]}, which is none of the option values, {self.values}; add it, or"
                f" make such pixels {NONE}, which stands for no class"
            )
        classes: np.ndarray = table[pixels]
        return classes


def open_masks(
    train_images: str | Path,
    train_masks: str | Path,
    test_images: str | Path,
    test_masks: str | Path,
    classes: Sequence[str] = (),
    values: Sequence[int] | None = None,
) -> tuple[MaskedImages, MaskedImages]:
    """Training and test set from folders of pictures and of masks; a mask has its picture's name but for the ending.

    Args:
        train_images: Folder of pictures.
        train_masks: Folder of their masks: grey values or palettes; a value is a class, and 255 is none.
        test_images: Likewise.
        test_masks: Likewise.
        classes: Their names, in order; none: numbers alone.
        values: Pixel values in the order of the classes, where masks hold others than 0, 1, 2, …

    Raises:
        DataError: A folder is missing, a picture has no mask, or values occur twice.
    """
    if values is not None and (
        len(set(values)) < len(values) or not all(isinstance(value, int) and 0 <= value <= NONE for value in values)
    ):
        raise DataError(f"values is {list(values)}: different whole numbers from 0 to {NONE} are allowed")
    if classes and values is not None and len(classes) != len(values):
        raise DataError(f"there are {len(classes)} classes, but {len(values)} values: give one for each")
    names = tuple(str(name) for name in classes)
    train, test = (
        MaskedImages(_pairs(Path(pictures).expanduser(), Path(masks).expanduser()), names, values)
        for pictures, masks in ((train_images, train_masks), (test_images, test_masks))
    )
    return train, test


def _pairs(pictures: Path, masks: Path) -> list[tuple[str, str]]:
    by_name = _files(masks)
    found = _files(pictures)
    if missing := sorted(name for name in found if name not in by_name):
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"{found[missing[0]]}{more} has no mask of its name in {masks}: add it, or remove the picture")
    return [(path, by_name[name]) for name, path in found.items()]


def _files(folder: Path) -> dict[str, str]:
    """Pictures of a folder by their place in it, without their endings."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one of pictures, and one of masks")
    files, _ = pictures_below(folder.parent, folder.name, IMG_EXTENSIONS)
    if not files:
        raise DataError(f"{folder} holds no picture ({', '.join(IMG_EXTENSIONS)})")
    named = {Path(path).relative_to(folder).with_suffix("").as_posix(): path for path in files}
    if len(named) < len(files):
        raise DataError(f"{folder} holds pictures of the same name with two endings: leave one of each")
    return named
