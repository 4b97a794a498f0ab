"""A few test images with what networks make of them, for tasks whose answers people look at: masks and boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from eagleeye.report.drawing import Picture
from eagleeye.report.theme import Theme, label, new_figure

CELL = 2.3
"""Inches of an image's side."""
NONE = 255
"""Pixels of no class are left as they are."""
_COLOURS = colormaps["tab20"]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with answers.

    Attributes:
        images: In [0, 1], (n, h, w) or (n, h, w, 3).
        answers: By whose they are, in order: for each image a mask of classes (h, w), where 0 is the background, or a
            dict of boxes (k, 4) in pixels and labels (k,).
    """

    images: npt.NDArray[np.float64]
    answers: Mapping[str, Sequence[Any]]


def example_picture(examples: Examples) -> Picture:
    """The figure with its words.

    Args:
        examples: What to show.
    """
    names = list(examples.answers)
    return Picture(
        "examples",
        "Test images",
        "A colour is a class. The images are spread evenly over the test set; nothing was chosen.",
        f"{len(examples.images)} test images, each as it is and with the answers of: {', '.join(names)}.",
        lambda theme: draw_examples(examples, theme),
    )


def draw_examples(examples: Examples, theme: Theme) -> Figure:
    """An image in every row, an answer in every column.

    Args:
        examples: What to show.
        theme: Colours.

    Returns:
        The figure.
    """
    names = list(examples.answers)
    rows = len(examples.images)
    figure, axes = new_figure(theme, CELL * (1 + len(names)), CELL * rows, 1 + len(names), rows)
    for place, each in enumerate(axes):
        row, column = divmod(place, 1 + len(names))
        image = examples.images[row]
        each.imshow(image, cmap="gray", vmin=0, vmax=1)
        each.set(xticks=[], yticks=[])
        each.grid(False)
        for spine in each.spines.values():
            spine.set_visible(False)
        if row == 0:
            label(each, theme, "", "", "image" if column == 0 else names[column - 1])
        if column:
            _answer(each, examples.answers[names[column - 1]][row])
    return figure


def _answer(axes: Axes, answer: Any) -> None:
    if isinstance(answer, Mapping):
        for (left, top, right, bottom), kind in zip(answer["boxes"], answer["labels"], strict=True):
            size = (right - left, bottom - top)
            axes.add_patch(Rectangle((left, top), *size, fill=False, linewidth=1.8, edgecolor=_colour(int(kind))))
        return
    mask = np.asarray(answer)
    colours = np.zeros((*mask.shape, 4))
    for kind in np.unique(mask[(mask != 0) & (mask != NONE)]):
        colours[mask == kind] = (*_colour(int(kind))[:3], 0.65)
    axes.imshow(colours)


def _colour(kind: int) -> tuple[float, float, float, float]:
    found: tuple[float, float, float, float] = _COLOURS((kind - 1) % _COLOURS.N)
    return found
