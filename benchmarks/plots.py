"""`python -m benchmarks.plots`: draw what `python -m benchmarks` and `benchmarks.searching` measured last."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.__main__ import RESULTS
from benchmarks.comparison import summary
from eagleeye.task.classification import SCORERS

SHOWN = ("published", "plain", "engine")
COLOURS = {
    "published": "#8c8c8c",
    "plain": "#e08a1e",
    "engine": "#1f77b4",
    "uniform": "#8c8c8c",
    "evolution": "#1f77b4",
}


def main() -> None:
    """Draw a figure per subject, one of the growth and one per kind of search, beside the tables."""
    for file in sorted(RESULTS.glob("*_resnet*.csv")):
        draw_comparison(pd.read_csv(file), file.with_suffix(".png"))
    if (RESULTS / "growth.csv").is_file():
        draw_growth(pd.read_csv(RESULTS / "growth.csv"), RESULTS / "growth.png")
    if (RESULTS / "searching.csv").is_file():
        for (subject, score), table in pd.read_csv(RESULTS / "searching.csv").groupby(["subject", "score"]):
            draw_searching(table, RESULTS / f"searching_{subject}_{score}.png")


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


def draw_searching(table: pd.DataFrame, path: Path) -> None:
    """The best score found against what was spent, and against the candidates drawn: mean, lowest and highest seed.

    Args:
        table: From `benchmarks.searching.measure`, of one subject and score.
        path: Where to write the PNG.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    score, seeds = table["score"].iloc[0], table["seed"].nunique()
    factor, unit = SCORERS[score].evidence.factor, SCORERS[score].evidence.unit
    for (name, racing), rows in table.groupby(["sampler", "racing"]):
        by_length = rows.groupby("candidates")
        spent, best = by_length["evaluations"].mean(), by_length["best"]
        line = {"color": COLOURS[name], "linestyle": "-" if racing else "--"}
        for axes, across in ((left, spent), (right, spent.index)):
            axes.plot(across, factor * best.mean(), label=f"{name}, {'racing' if racing else 'all images'}", **line)
            axes.fill_between(across, factor * best.min(), factor * best.max(), color=line["color"], alpha=0.12)
    title = f"{table['subject'].iloc[0]}, half of the MACs"
    left.set(xscale="log", xlabel="full evaluations spent", ylabel=f"best {score} found, {unit}", title=title)
    right.set(xlabel="candidates", title=f"the same searches, {seeds} seeds")
    right.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
