import numpy as np
import pytest
from matplotlib.colors import to_hex

from eagleeye.report import figures
from eagleeye.report.theme import DARK, LIGHT


def bars_of(axes, colour):
    return [bar for bar in axes.patches if to_hex(bar.get_facecolor()) == colour]


def test_every_candidate_is_counted_once_per_kind_of_score(report):
    axes = figures.score_distribution(report, LIGHT).axes[0]
    assert sum(bar.get_height() for bar in bars_of(axes, LIGHT.first)) == 40
    assert sum(bar.get_height() for bar in bars_of(axes, LIGHT.second)) == 40
    lefts = [bar.get_x() for bar in bars_of(axes, LIGHT.first) if bar.get_height()]
    assert (
        min(lefts)
        <= 100 * report.candidates["accuracy"].min()
        <= min(lefts) + bars_of(axes, LIGHT.first)[0].get_width()
    )


def test_winner_and_chance_are_marked_where_they_lie(report):
    axes = figures.score_distribution(report, LIGHT).axes[0]
    assert sorted(line.get_xdata()[0] for line in axes.lines) == pytest.approx(
        [10, 100 * report.candidates["accuracy"].max()]
    )
    assert {text.get_text() for text in axes.texts} == {"chance", f"winner {report.pruned.name}"}


def test_chance_far_below_all_scores_does_not_squeeze_the_picture(make_report):
    axes = figures.score_distribution(make_report(vanilla=False, classes=1000), LIGHT).axes[0]
    assert [text.get_text() for text in axes.texts] == [f"winner {make_report().pruned.name}"]


def test_dots_lie_at_cost_and_score(report):
    left, right = figures.score_against_cost(report, LIGHT).axes
    for axes, cost in ((left, "macs_fraction"), (right, "params_fraction")):
        dots = np.concatenate([each.get_offsets() for each in axes.collections])
        expected = 100 * report.ranking[[cost, "accuracy"]].to_numpy()
        assert np.allclose(sorted(dots.tolist()), sorted(expected.tolist()))
        assert axes.get_xlabel().endswith("(% of the full network)")


@pytest.mark.parametrize("groups", [5, 57])
def test_every_group_has_a_bar_as_long_as_what_it_keeps(make_report, groups):
    report = make_report(groups=groups)
    panels = figures.widths(report, LIGHT).axes
    assert len(panels) == (1 if groups == 5 else 2)
    before, after = report.groups["channels"].to_numpy(), np.array(report.winner["widths"])
    lengths = [bar.get_width() for axes in panels for bar in bars_of(axes, LIGHT.first)]
    assert lengths == pytest.approx((100 * after / before).tolist())
    names = [text.get_text() for axes in panels for text in axes.get_yticklabels()]
    assert names == report.groups["name"].tolist()
    numbers = [text.get_text() for axes in panels for text in axes.texts]
    assert numbers == [f"{full} → {kept}" for full, kept in zip(before, after, strict=True)]


def test_the_kept_epoch_is_ringed(report):
    axes = figures.fine_tuning(report, LIGHT).axes[0]
    rows = report.history[report.history["id"] == report.pruned.name]
    best = rows.loc[rows["validation_accuracy"].idxmax()]
    rings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert (best["epoch"], pytest.approx(100 * best["validation_accuracy"])) in rings
    assert len(rings) == 2


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_stands_out_from_its_background(theme):
    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one, other):
        low, high = sorted([luminance(one), luminance(other)])
        return (high + 0.05) / (low + 0.05)

    assert min(contrast(theme.paper, text) for text in (theme.ink, theme.muted, theme.third)) >= 4.5
    assert min(contrast(theme.paper, shape) for shape in (theme.first, theme.second)) >= 3


@pytest.mark.parametrize("candidates", [1, 2])
def test_a_search_of_hardly_any_candidates_is_drawn(make_report, candidates):
    report = make_report(candidates=candidates, vanilla=False)
    for picture in figures.pictures(report):
        picture.draw(LIGHT).draw_without_rendering()


def test_equal_scores_are_drawn(make_report):
    report = make_report(vanilla=False)
    report.ranking["accuracy"] = 0.1
    axes = figures.score_distribution(report, LIGHT).axes[0]
    assert max(bar.get_height() for bar in bars_of(axes, LIGHT.first)) == 40
