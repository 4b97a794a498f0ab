"""Pictures with boxes around objects, annotated as for COCO: a folder of pictures and a JSON file for each set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from eagleeye.data.boxes import encoded_boxes
from eagleeye.data.folder import FolderImages
from eagleeye.data.targets import BOXES
from eagleeye.errors import DataError
from eagleeye.references import described

BACKGROUND = "background"
"""Class 0, as torchvision's detectors count."""
ROUNDING = 1.0
"""Pixels by which a box may lie beyond its picture's edges, to which it is clipped."""


class CocoImages(FolderImages):
    """Pictures, each with boxes and labels.

    Attributes:
        boxes: Of every row, float32 (k, 4): x0, y0, x1, y1 in pixels.
        box_labels: Of every row, int64 (k,), from 1.
        sizes: Width and height of every row's picture by the annotations.
    """

    target_kind = BOXES

    def __init__(
        self,
        files: list[str],
        classes: tuple[str, ...],
        remarks: tuple[str, ...],
        sizes: list[tuple[int, int]],
        found: list[tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__([(file, 0) for file in files], classes, remarks)
        self.sizes = sizes
        self.boxes = [boxes for boxes, _ in found]
        self.box_labels = [labels for _, labels in found]

    def encoded_target(self, row: int) -> bytes:
        """The boxes of a row as a safetensors file."""
        with Image.open(self.paths[row]) as file:
            size = file.size
        if size != self.sizes[row]:
            raise DataError(
                f"{self.paths[row]} is {_sides(size)} pixels, but {_sides(self.sizes[row])} by its annotations: boxes"
                " would be elsewhere; annotate the picture as it is"
            )
        return encoded_boxes(self.boxes[row], self.box_labels[row])


def open_coco(
    train_images: str | Path, train_annotations: str | Path, test_images: str | Path, test_annotations: str | Path
) -> tuple[CocoImages, CocoImages]:
    """Training and test set from folders of pictures and COCO's JSON files.

    Labels count from 1 in the order of the categories' ids; 0 is the background. Annotations of crowds are left out.

    Args:
        train_images: Folder that file names are relative to.
        train_annotations: JSON file with `images`, `annotations` and `categories`.
        test_images: Likewise.
        test_annotations: Likewise, with the same categories.

    Raises:
        DataError: A file is missing or no such file, an annotation is of no known image or category, or its box has no
            area or lies outside of its picture.
    """
    sides = ((train_images, train_annotations), (test_images, test_annotations))
    (first, one), (second, other) = (_opened(Path(folder), Path(file)) for folder, file in sides)
    if one != other:
        odd = min(one.items() ^ other.items())
        raise DataError(
            f"{train_annotations} and {test_annotations} have different categories, such as {odd[0]} ({odd[1]!r}); both"
            " need the same ids and names"
        )
    return first, second


def _opened(folder: Path, file: Path) -> tuple[CocoImages, dict[int, str]]:
    folder, file = folder.expanduser(), file.expanduser()
    content = _read(file)
    categories = _categories(content["categories"], file)
    numbers = {identifier: label for label, identifier in enumerate(categories, start=1)}
    images = {_whole(image, "id", f"{file}: an image"): image for image in content["images"]}
    if not images or len(images) < len(content["images"]):
        raise DataError(f"{file}: {'two images have one id' if images else 'there are no images'}; mend the file")
    files = [_file(image, folder, file) for image in images.values()]
    sizes = {
        identifier: (_whole(image, "width", name), _whole(image, "height", name))
        for identifier, image in images.items()
        for name in [f"{file}: image {identifier}"]
    }
    annotated: dict[int, list[tuple[list[float], int]]] = {identifier: [] for identifier in images}
    crowds = sum(bool(each.get("iscrowd")) for each in content["annotations"])
    for image, box, category in _annotations(content["annotations"], sizes, numbers, file):
        annotated[image].append((box, numbers[category]))
    remarks = (f"{file}: {crowds} annotations of crowds are left out",) if crowds else ()
    names = (BACKGROUND, *categories.values())
    found = [_tensors(boxes) for boxes in annotated.values()]
    return CocoImages(files, names, remarks, list(sizes.values()), found), categories


def _read(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise DataError(f"{file} cannot be read as JSON ({described(cause)}): give a file in COCO's format") from cause
    for part in ("images", "annotations", "categories"):
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{file} has no list {part!r} of objects: give a file in COCO's format, of instances")
    return dict(content)


def _categories(entries: Iterable[Mapping[str, Any]], file: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in entries:
        identifier = _whole(entry, "id", f"{file}: a category")
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise DataError(f"{file}: category {identifier} has no name; give it one")
        if identifier in found:
            raise DataError(f"{file}: two categories have the id {identifier}; leave one")
        found[identifier] = name
    if not found:
        raise DataError(f"{file}: there are no categories; name what the boxes hold")
    return dict(sorted(found.items()))


def _whole(entry: Mapping[str, Any], key: str, name: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{name} has {key} {value!r}; needed is a whole number")
    return value


def _file(image: Mapping[str, Any], folder: Path, file: Path) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not (folder / name).is_file():
        raise DataError(f"{file}: image {image['id']} is {folder / str(name)}, which is missing: bring it back")
    return (folder / name).as_posix()


def _annotations(
    entries: Iterable[Mapping[str, Any]],
    sizes: Mapping[int, tuple[int, int]],
    numbers: Mapping[int, int],
    file: Path,
) -> Iterator[tuple[int, list[float], int]]:
    """Image, corners and category of every annotation but those of crowds."""
    for entry in entries:
        name = f"{file}: annotation {entry.get('id')}"
        image, category = (_whole(entry, key, name) for key in ("image_id", "category_id"))
        for value, known, kind in ((image, sizes, "image"), (category, numbers, "category")):
            if value not in known:
                raise DataError(f"{name} is of {kind} {value}, which is not in the file; add it, or remove both")
        if not entry.get("iscrowd"):
            yield image, _corners(entry.get("bbox"), sizes[image], name), category


def _corners(box: Any, size: tuple[int, int], name: str) -> list[float]:
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        raise DataError(f"{name} has bbox {str(box)[:60]}; needed are four numbers: x, y, width, height in pixels")
    x, y, width, height = (float(value) for value in box)
    if width <= 0 or height <= 0:
        raise DataError(f"{name} has bbox {box}, which has no area; mend or remove it")
    corners = [x, y, x + width, y + height]
    edges = (*size, *size)
    if any(not -ROUNDING <= value <= edge + ROUNDING for value, edge in zip(corners, edges, strict=True)):
        raise DataError(
            f"{name} has bbox {box} (x, y, width, height), which lies outside of its picture of {_sides(size)} pixels;"
            " mend or remove it"
        )
    clipped = [min(max(value, 0.0), float(edge)) for value, edge in zip(corners, edges, strict=True)]
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise DataError(f"{name} has bbox {box}, which lies outside of its picture; mend or remove it")
    return clipped


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tensors(annotated: list[tuple[list[float], int]]) -> tuple[Tensor, Tensor]:
    boxes = torch.tensor([box for box, _ in annotated], dtype=torch.float32).reshape(-1, 4)
    return boxes, torch.tensor([label for _, label in annotated], dtype=torch.int64)


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
