"""`python -m benchmarks.plots`: draw what `python -m benchmarks` measured last."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.__main__ import RESULTS
from benchmarks.comparison import summary

SHOWN = ("published", "plain", "engine")
COLOURS = {"published": "#8c8c8c", "plain": "#e08a1e", "engine": "#1f77b4"}


def main() -> None:
    """Draw a figure per subject and one of the growth, beside the tables."""
    for file in sorted(RESULTS.glob("*_resnet*.csv")):
        draw_comparison(pd.read_csv(file), file.with_suffix(".png"))
    if (RESULTS / "growth.csv").is_file():
        draw_growth(pd.read_csv(RESULTS / "growth.csv"), RESULTS / "growth.png")


def draw_comparison(table: pd.DataFrame, path: Path) -> None:
    """Seconds per candidate of each way, and the engine's accuracies against the published ones.

    Args:
        table: From `benchmarks.comparison.compare`.
        path: Where to write the PNG.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    seconds = summary(table).set_index("way")["s/candidate"].reindex(SHOWN)
    bars = left.bar(SHOWN, seconds, color=[COLOURS[way] for way in SHOWN])
    left.bar_label(bars, [f"{value:.2g} s" for value in seconds])
    left.set(yscale="log", ylabel="seconds per candidate", title=f"{table['subject'].iloc[0]}, half of the MACs")
    left.margins(y=0.15)
    published = table[table["way"] == "published"].set_index("id")["accuracy"]
    engine = table[table["way"] == "engine"].drop_duplicates("id").set_index("id").reindex(published.index)
    last = engine["scored"] == engine["scored"].max()
    for chosen, label, marker in ((~last, "first rung", "o"), (last, "all images", "s")):
        right.scatter(100 * published[chosen], 100 * engine["accuracy"][chosen], label=label, marker=marker)
    ends = [100 * published.min(), 100 * published.max()]
    right.plot(ends, ends, color="#bbbbbb", linewidth=1, zorder=0)
    right.set(xlabel="published protocol: accuracy, %", ylabel="engine: accuracy, %", title="the same candidates")
    right.legend(title="engine's images")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_growth(table: pd.DataFrame, path: Path) -> None:
    """Time and memory against the number of candidates.

    Args:
        table: From `benchmarks.growth.grow`.
        path: Where to write the PNG.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    left.plot(table["candidates"], table["scoring"], marker="o", label="scoring and ranking")
    left.plot(table["candidates"], table["drawing"], marker="s", label="drawing strategies")
    left.set(xscale="log", yscale="log", xlabel="candidates", ylabel="seconds", title="digits, ResNet-20: time")
    left.legend()
    right.plot(table["candidates"], table["MiB"], marker="o")
    right.set(xscale="log", xlabel="candidates", ylabel="peak memory, MiB", title="digits, ResNet-20: memory")
    right.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
