"""Figures as files and pages from templates: what all reports have in common."""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from eagleeye.files import written_whole
from eagleeye.report import units
from eagleeye.report.theme import DARK, LIGHT, Theme

UNITS = ("percent", "quantity", "milliseconds", "level", "nats", "times", "of_score", "change_of", "named")


@dataclass(frozen=True)
class Picture:
    """A figure with the words around it.

    Attributes:
        name: Name of its file, without suffix.
        title: Heading.
        caption: How to read it.
        alt: What it shows, for those who do not see it.
        draw: Makes it in a theme.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[Theme], Figure]


def draw(pictures: Iterable[Picture], folder: Path) -> list[dict[str, Any]]:
    """Draw figures in both themes, and write the light one as a PNG file.

    Args:
        pictures: The figures.
        folder: Where to write.

    Returns:
        Per figure the `picture` and its two versions, `light` and `dark`, as data addresses for a page.

    Raises:
        ArtifactError: A file cannot be written.
    """
    figures = []
    for picture in pictures:
        light, dark = (as_png(picture.draw(theme)) for theme in (LIGHT, DARK))
        with written_whole(folder / f"{picture.name}.png") as path:
            path.write_bytes(light)
        figures.append({"picture": picture, "light": embedded(light), "dark": embedded(dark)})
    return figures


def fill(template: str, **values: object) -> str:
    """Fill in a page.

    Args:
        template: One of the HTML files of this package.
        **values: What it shows.

    Returns:
        HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eagleeye.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(units, name) for name in UNITS}
    return environment.get_template(template).render(**values)


def as_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    # Without the version of matplotlib in it, the same report is the same file.
    figure.savefig(file, format="png", dpi=200, metadata={"Software": None})
    return file.getvalue()


def embedded(png: bytes) -> str:
    """A PNG file as a data address for a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
