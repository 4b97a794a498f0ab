"""The study's page and figures: what they say is what was found."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from eagleeye.report import StudyData, answer, coefficient_rows, write_study
from eagleeye.report.study_figures import scatters, statistics, study_pictures, weight_shift
from eagleeye.report.theme import DARK, LIGHT
from eagleeye.study import correlation
from eagleeye.study.correlation import CEILING, Bootstrap


def make_study(count: int = 12, seeds: int = 2, layers: int = 5) -> StudyData:
    random = np.random.default_rng(0)
    quality = random.normal(size=count + 1)
    accuracies = 0.9 + 0.02 * quality[:, None] + 0.003 * random.normal(size=(count + 1, seeds))
    table = pd.DataFrame(
        {
            "id": [*(f"s{n:04}" for n in range(count)), "even"],
            "reference": [False] * count + [True],
            "accuracy": 0.5 + 0.1 * quality,
            "loss": 1.5 - 0.1 * quality,
            "agreement": 0.5 + 0.1 * quality,
            "divergence": 1.0 - 0.1 * quality,
            "vanilla_accuracy": 0.1 + 0.01 * random.normal(size=count + 1),
            "vanilla_loss": 4.0,
            "vanilla_agreement": 0.1,
            "vanilla_divergence": 3.0,
            "test_accuracy": accuracies.mean(axis=1),
            "test_low": accuracies.min(axis=1),
            "test_high": accuracies.max(axis=1),
        }
    )
    drawn = table[~table["reference"]]
    distances = [
        {"id": name, "seed": 0, "layer": f"bn{n}", "vanilla_mean": 0.5, "adaptive_mean": 0.1, "vanilla_variance": 2.0,
         "adaptive_variance": 0.1}
        for name in table["id"]
        for n in range(layers)
    ]  # fmt: skip
    columns = ["id", "seed", "layer", "vanilla_mean", "adaptive_mean", "vanilla_variance", "adaptive_variance"]
    weights = [
        {"layer": f"conv{n}", "edges": [0.0, 0.5, 1.0], "before": [3, 4], "after": [2, 5], "shift": 0.0625}
        for n in range(3)
    ]
    return StudyData(
        title="network on <images>",
        candidates=table,
        coefficients=correlation.summarise(correlation.oriented(drawn), accuracies[:count], Bootstrap(100)),
        statistics=pd.DataFrame(distances, columns=columns),
        weights=pd.DataFrame(weights),
        shown="s0000",
        seeds=seeds,
        level=0.95,
    )


def texts(figure: Figure) -> str:
    """Everything written in a figure."""
    return "\n".join(artist.get_text() for artist in figure.findobj(lambda each: hasattr(each, "get_text")))


def test_the_page_holds_every_number_and_needs_nothing_beside_itself(tmp_path):
    data = make_study()
    write_study(data, tmp_path)
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    for row in coefficient_rows(data):
        assert all(cell in page for cell in row)
    assert answer(data).replace("'", "&#39;") in page
    assert "&lt;images&gt;" in page
    assert 'src="http' not in page and 'href="http' not in page
    pictures = {picture.name for picture in study_pictures(data)}
    assert {path.stem for path in tmp_path.glob("*.png")} == pictures
    assert page.count("<figure>") == len(pictures) == 5


def test_rows_are_in_order_and_the_ceiling_has_no_regret():
    rows = coefficient_rows(make_study())
    assert rows[0][0] == "top-1 accuracy"
    assert (rows[-1][0], rows[-1][4]) == (CEILING, "")
    assert CEILING not in [row[0] for row in coefficient_rows(make_study(seeds=1))]
    found = make_study().estimate("vanilla_accuracy", "spearman")
    cell = next(row for row in rows if row[0] == "vanilla: top-1 accuracy")[2]
    assert cell.split()[0] == f"{found.value:.2f}".replace("-", "\N{MINUS SIGN}")


def test_regret_is_in_points():
    data = make_study()
    (fraction,) = data.coefficients.query("score == 'vanilla_accuracy' and measure == 'regret'")["value"]
    assert data.estimate("vanilla_accuracy", "regret").value == pytest.approx(100 * fraction)


def test_scatters_show_every_candidate_with_its_coefficients():
    data = make_study()
    figure = scatters(data, LIGHT)
    written = texts(figure)
    for name in ("accuracy", "vanilla_accuracy"):
        assert f"Spearman {data.estimate(name, 'spearman').value:.2f}".replace("-", "\N{MINUS SIGN}") in written
    for axes, score in zip(figure.axes, ("vanilla_accuracy", "accuracy"), strict=True):
        drawn, references = (line for line in axes.lines if line.get_marker() in "oD")
        assert np.allclose(drawn.get_xdata(), 100 * data.drawn[score])
        assert np.allclose(drawn.get_ydata(), 100 * data.drawn["test_accuracy"])
        assert np.allclose(references.get_ydata(), 100 * data.references["test_accuracy"])


def test_distances_are_drawn_layer_by_layer():
    figure = statistics(make_study(layers=7), DARK)
    heights = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
    assert heights == [[0.5] * 7, [0.1] * 7, [2.0] * 7, [0.1] * 7]
    assert "moved by 6.2\N{NO-BREAK SPACE}%" in texts(weight_shift(make_study(), LIGHT))


def test_a_network_without_batch_norm_has_no_figure_of_it():
    names = [picture.name for picture in study_pictures(make_study(layers=0))]
    assert "statistics" not in names
    assert "correlation" in names


@pytest.mark.parametrize("count", [3, 60])
def test_few_and_many_candidates_are_drawn(count):
    for picture in study_pictures(make_study(count=count)):
        picture.draw(LIGHT)
