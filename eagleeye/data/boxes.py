"""Boxes around the objects in a picture: kept as the bytes of a file, and cut as the picture is cut."""

from __future__ import annotations

import safetensors.torch
from torch import Tensor

from eagleeye.data.images import Preprocess

Boxes = dict[str, Tensor]
"""`boxes`, float32 (k, 4), x0, y0, x1, y1 in pixels, and `labels`, int64 (k,)."""
LEAST = 1.0
"""Pixels of each side that are left of a box where a picture is cut; of what is smaller nothing can be seen."""


def encoded_boxes(boxes: Tensor, labels: Tensor) -> bytes:
    """Boxes as the bytes of a safetensors file.

    Args:
        boxes: (k, 4), x0, y0, x1, y1 in pixels of the picture as it is stored.
        labels: Whole numbers (k,).
    """
    found = {"boxes": boxes.detach().cpu().float(), "labels": labels.detach().cpu().long()}
    stored: bytes = safetensors.torch.save({name: tensor.contiguous() for name, tensor in found.items()})
    return stored


def decoded_boxes(data: bytes) -> Boxes:
    """The boxes in the bytes of a safetensors file.

    Raises:
        ValueError: It is a file of something else.
    """
    found = safetensors.torch.load(data)
    if found.keys() != {"boxes", "labels"} or found["boxes"].shape != (len(found["labels"]), 4):
        raise ValueError(f"tensors {', '.join(found) or 'none'}; needed are boxes (k, 4) and labels (k,)")
    return found


def cut_boxes(found: Boxes, picture: tuple[int, int], preprocess: Preprocess) -> Boxes:
    """Boxes as `eagleeye.data.decode` cuts their picture: scaled, shifted, and clipped at its new edges.

    Args:
        found: The boxes.
        picture: Its width and height in pixels.
        preprocess: How it is cut.

    Returns:
        Those of which a pixel is left, each way.
    """
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional

    size, resize = preprocess.size, preprocess.resize
    cut = tv_tensors.BoundingBoxes(found["boxes"], format="XYXY", canvas_size=(picture[1], picture[0]))
    if resize is not None:
        cut = functional.resize(cut, [resize])
        cut = cut if size is None else functional.center_crop(cut, [size, size])
    elif size is not None:
        cut = functional.resize(cut, [size, size])
    boxes = cut.as_subclass(Tensor)
    left = (boxes[:, 2:] - boxes[:, :2] >= LEAST).all(1)
    return {"boxes": boxes[left], "labels": found["labels"][left]}
