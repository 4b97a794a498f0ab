"""Colours and shape shared by all figures, in a light and a dark version."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

LONGEST_NAME = 28


@dataclass(frozen=True)
class Theme:
    """Colours of a figure; the hues are those of Okabe and Ito, told apart with any colour vision.

    Attributes:
        paper: Background.
        ink: Titles and values.
        muted: Axes, labels, remarks.
        faint: Grid lines, and what was removed.
        first: Blue: the main series.
        second: Orange: what it is compared with.
        third: Green: the winner.
    """

    paper: str
    ink: str
    muted: str
    faint: str
    first: str
    second: str
    third: str


LIGHT = Theme("#ffffff", "#1c2330", "#5a6474", "#dfe3ea", "#0072b2", "#d55e00", "#00805f")
DARK = Theme("#181d26", "#e8ecf3", "#a3adbd", "#333c4b", "#56b4e9", "#e69f00", "#2fc79a")


def new_figure(theme: Theme, width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure with its axes in rows, made without pyplot's global state.

    Args:
        theme: Colours.
        width: In inches.
        height: In inches.
        columns: Axes side by side.
        rows: Rows of them.

    Returns:
        The figure and its axes, row by row.
    """
    spacing = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.05, wspace=0.04)
    figure = Figure(figsize=(width, height), layout=spacing, facecolor=theme.paper)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for each in axes:
        _dress(each, theme)
    return figure, axes


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.muted, labelsize=9, length=0)
    axes.grid(True, color=theme.faint, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.muted)


def label(axes: Axes, theme: Theme, x: str, y: str, title: str = "") -> None:
    """Name the axes, and what the axes show where a figure has several.

    Args:
        axes: The axes.
        theme: Colours.
        x: Quantity and unit along x.
        y: Quantity and unit along y.
        title: What is shown.
    """
    axes.set_xlabel(x, color=theme.muted, fontsize=9.5)
    axes.set_ylabel(y, color=theme.muted, fontsize=9.5)
    if title:
        axes.set_title(title, color=theme.ink, fontsize=10.5, fontweight="bold", loc="left")


def shortened(name: str) -> str:
    """The end of a layer's name, which tells more than its beginning, where the whole is too long for a figure."""
    return name if len(name) <= LONGEST_NAME else "…" + name[-LONGEST_NAME:]


def legend(figure: Figure, axes: Axes, theme: Theme) -> None:
    """Put the names of the series of one of the axes below the figure.

    Args:
        figure: The figure.
        axes: Holds the labelled artists.
        theme: Colours.
    """
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9, labelcolor=theme.ink)
