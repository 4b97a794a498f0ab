"""Data sets of pictures in torchvision's style, seen as sets of encoded images."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from eagleeye.data.encodings import encoded
from eagleeye.data.folder import FolderImages
from eagleeye.data.images import ImageSet, Labels, check_labels, is_wide, numbered_classes
from eagleeye.errors import DataError
from eagleeye.references import described

# Where torchvision's data sets keep their labels, so that no image needs decoding to learn them.
_LABEL_ATTRIBUTES = ("targets", "labels", "_labels", "y")
_SPOT_CHECKS = 8


class PictureImages:
    """Any data set of pairs (picture, label) with a length, its pictures coded losslessly as PNG.

    A picture is a PIL image or a uint8 array (h, w) or (h, w, channels); one of more than four channels is kept as a
    NumPy file.
    """

    classes: tuple[str, ...]
    labels: Labels

    def __init__(self, dataset: Any, classes: tuple[str, ...], labels: Labels, name: str) -> None:
        self.dataset = dataset
        self.classes = classes
        self.labels = labels
        self.name = name

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, row: int) -> bytes:
        """The picture of a row as a PNG or NumPy file."""
        picture = _item(self.dataset, row, self.name)[0]
        if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim in (2, 3):
            if picture.shape[2:] > (4,):
                return encoded(picture)
            picture = Image.fromarray(picture.squeeze(-1) if picture.shape[2:] == (1,) else picture)
        if not isinstance(picture, Image.Image) or is_wide(picture):
            raise DataError(
                f"{self.name}: the image of row {row} is a {_kind(picture)}; needed is a PIL image with 8 "
                "bits per channel or a uint8 array (height, width, channels), not a tensor"
            )
        return _as_png(picture)


def open_pictures(train: Any, test: Any, name: str) -> tuple[ImageSet, ImageSet]:
    """Turn a training and a test set, each an ImageSet or in torchvision's style, into image sets that agree.

    Args:
        train: The training set.
        test: The test set.
        name: What to call the source in errors.

    Returns:
        Training set and test set.

    Raises:
        DataError: Labels or items are not what they should be, or the two sets have different classes.
    """
    parts = (train, test)
    labels = [labels_of(part, f"{name}, {side} set") for part, side in zip(parts, ("training", "test"), strict=True)]
    names = [_class_names(part) for part in parts]
    if names[0] and names[1] and names[0] != names[1]:
        raise DataError(f"{name}: training and test set name different classes; needed is the same list for both")
    classes = names[0] or names[1] or max((numbered_classes(part, name) for part in labels), key=len)
    first, second = (_image_set(part, classes, found, name) for part, found in zip(parts, labels, strict=True))
    return first, second


def _image_set(dataset: Any, classes: tuple[str, ...], labels: Labels, name: str) -> ImageSet:
    checked = check_labels(labels, classes, name)
    if isinstance(dataset, ImageSet):
        return dataset
    from torchvision.datasets.folder import DatasetFolder, default_loader

    if isinstance(dataset, DatasetFolder) and dataset.transforms is None and dataset.loader is default_loader:
        return FolderImages(dataset.samples, classes)
    return PictureImages(dataset, classes, checked, name)


def labels_of(dataset: Any, name: str) -> Labels:
    """The label of every item, from a list of the set's own where that agrees with the items.

    Raises:
        DataError: There is none, or it is no whole number.
    """
    if not hasattr(dataset, "__len__") or not (isinstance(dataset, ImageSet) or hasattr(dataset, "__getitem__")):
        raise DataError(f"{name} is a {_kind(dataset)}; needed is an ImageSet, or a data set with len() and items")
    if len(dataset) == 0:
        raise DataError(f"{name} is empty")
    if isinstance(dataset, ImageSet):
        stored: Labels | None = np.asarray(dataset.labels)
    else:
        stored = _stored_labels(dataset, name)
    if stored is None:
        stored = np.array([_label(dataset, row, name) for row in range(len(dataset))], dtype=np.int64)
    if len(stored) != len(dataset):
        raise DataError(f"{name} has {len(dataset)} images but {len(stored)} labels")
    return stored


def _stored_labels(dataset: Any, name: str) -> Labels | None:
    # A label list is believed only where it agrees with the items.
    rows = np.unique(np.linspace(0, len(dataset) - 1, _SPOT_CHECKS).astype(int)).tolist()
    expected = [_label(dataset, row, name) for row in rows]
    if getattr(dataset, "target_transform", None) is not None:
        return None
    for attribute in _LABEL_ATTRIBUTES:
        try:
            stored = np.asarray(getattr(dataset, attribute))
        except (AttributeError, ValueError, TypeError):
            continue
        fits = stored.shape == (len(dataset),) and np.issubdtype(stored.dtype, np.integer)
        if fits and stored[rows].tolist() == expected:
            return stored.astype(np.int64)
    return None


def _label(dataset: Any, row: int, name: str) -> int:
    label = _item(dataset, row, name)[1]
    try:
        if int(label) == label and abs(int(label)) < 2**63:
            return int(label)
    except (TypeError, ValueError, RuntimeError):
        pass
    raise DataError(f"{name}: the label of row {row} is {label!r}; needed is one whole number per image")


def item_of(dataset: Any, row: int, name: str) -> Any:
    """An item of a data set, or a DataError that names the row, whatever the set itself raised."""
    try:
        return dataset[row]
    except Exception as cause:
        raise DataError(f"{name}: reading row {row} failed: {described(cause)}") from cause


def _item(dataset: Any, row: int, name: str) -> Sequence[Any]:
    item = item_of(dataset, row, name)
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{name}: row {row} is a {_kind(item)}; needed is a pair (image, label)")
    return item


def _class_names(dataset: Any) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None) or ()
    # Some of torchvision's data sets list several names per class; the first is the usual one.
    return tuple(str(entry[0] if isinstance(entry, tuple | list) else entry) for entry in names)


def _as_png(picture: Image.Image) -> bytes:
    if picture.mode not in {"1", "L", "LA", "P", "RGB", "RGBA"}:
        picture = picture.convert("RGB")
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _kind(value: Any) -> str:
    if isinstance(value, Image.Image):
        return f"PIL image of mode {value.mode}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} {tuple(value.shape)} of {value.dtype}"
    return type(value).__name__
