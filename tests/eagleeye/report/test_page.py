import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from scipy import stats

from eagleeye.report import Network, SavedFile, metrics, write_report
from eagleeye.report.drawing import as_png
from eagleeye.report.figures import score_distribution
from eagleeye.report.page import render
from eagleeye.report.theme import LIGHT
from eagleeye.task import Hits
from tests.eagleeye.report.conftest import right

VOID = {"meta", "link", "img", "source", "br"}


class Outline(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.texts))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory, make_report):
    folder = tmp_path_factory.mktemp("report")
    return folder, make_report(), write_report(make_report(), folder)


@pytest.fixture(scope="module")
def outline(written):
    return Outline((written[0] / "report.html").read_text(encoding="utf-8"))


def test_the_folder_holds_the_page_the_figures_and_the_numbers(written):
    folder, report, returned = written
    assert sorted(path.name for path in folder.iterdir()) == [
        "fine_tuning.png",
        "report.html",
        "report.json",
        "score_against_cost.png",
        "scores.png",
        "widths.png",
    ]
    assert json.loads((folder / "report.json").read_text()) == returned == metrics(report)


def test_the_page_needs_nothing_from_elsewhere(written):
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href|srcset|url)\s*[=(]\s*["']?(?!data:)[^"'\s>]""", page)
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", page)
    assert "<script" not in page


def test_every_picture_has_a_dark_version_and_words_for_those_who_do_not_see_it(outline):
    assert len(outline.all("img")) == len(outline.all("source")) == 4
    assert all(len(image["alt"]) > 30 for image in outline.all("img"))
    assert {source["media"] for source in outline.all("source")} == {"(prefers-color-scheme: dark)"}
    for image, source in zip(outline.all("img"), outline.all("source"), strict=True):
        assert image["src"] != source["srcset"]


def test_tables_have_headers_and_names_refer_to_headings_that_exist(outline):
    assert all(header["scope"] in ("col", "row") for header in outline.all("th"))
    ids = Counter(attributes["id"] for _, attributes in outline.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    used = {attributes["aria-labelledby"] for _, attributes in outline.elements if "aria-labelledby" in attributes}
    assert used <= ids.keys()


@pytest.mark.parametrize(
    "text",
    [
        "86.95 %",
        "\N{MINUS SIGN}1.13 points, from 88.08 %",
        "50.0 % of 40.0 M",
        "51.8 % of 1.10 MB",
        "1.60\N{MULTIPLICATION SIGN} as fast as 8.00 ms",
        "63.0 ms to 70.0 ms",
        "evenly pruned85.12 %",
        "from 88.08 %; 10,000 test images",
        "on Some Processor 3000, 2 CPU threads",
        "seed 0, rates up to 0.7",
    ],
)
def test_the_page_says(outline, text):
    squeezed = re.sub(r"\s", "", outline.text.replace("\N{NO-BREAK SPACE}", ""))
    assert re.sub(r"\s", "", text) in squeezed


def test_the_ten_best_are_listed_in_order_then_the_reference(outline, written):
    report = written[1]
    expected = report.ranking.dropna(subset="rank").sort_values("accuracy", ascending=False)["id"].head(10).tolist()
    section = outline.text[outline.text.index("The best 10 of 40 candidates") :]
    assert re.findall(r"s\d{4}|even(?=ref)", section) == [*expected, "even"]


def test_every_leader_has_its_interval_and_what_it_is_worth(outline, written):
    best = written[1].candidates.iloc[0]["accuracy"]
    assert f"{best - 0.02:.1%} to {best + 0.03:.1%}" in outline.text
    section = outline.text[outline.text.index("The best 10 of 40 candidates") :]
    assert section.count("75 %") == 10
    assert "ranked by top-1 accuracy" in outline.text


def test_files_come_with_the_lines_that_load_them(make_report):
    files = (SavedFile("artifacts/finetune/pruned.onnx", 1_230_000),)
    text = Outline(render(make_report(files=files), [])).text
    assert "artifacts/finetune/pruned.onnx 1.23 MB" in text
    assert 'onnxruntime.InferenceSession("artifacts/finetune/pruned.onnx")' in text
    assert "pruned network's files" not in Outline(render(make_report(), [])).text


def test_text_from_the_user_is_text(make_report):
    report = make_report(title="<script>alert(1)</script>", warnings=("a < b",), settings={"x": "<b>"})
    page = render(report, [])
    assert "<script" not in page
    assert "<b>" not in page
    assert "a &lt; b" in page


def test_latencies_of_a_busy_machine_are_called_rough(make_report):
    report = make_report()
    assert "The machine was busy" not in render(report, [])
    busy = report.latency.assign(p90_ms=report.latency["p10_ms"] * [1.1, 6.9, 1.2, 1.1])
    assert "up to 6.9 times as long as another" in render(make_report(latency=busy), [])


def test_warnings_come_first(make_report):
    text = Outline(render(make_report(warnings=("The best score is near chance.",)), [])).text
    assert text.index("The best score is near chance.") < text.index("Test accuracy")


def test_a_network_that_is_no_faster_is_said_to_be(make_report):
    slow = make_report().latency.assign(speedup=[1.0, 0.97, 1.0, 1.02])
    assert "not faster here" in render(make_report(latency=slow), [])
    assert "not faster here" not in render(make_report(), [])


def test_an_even_network_that_wins_is_said_to(make_report):
    ahead = Network("even", right(0.8795), 0.4, 20_000_000, 130_000, 560_000)
    assert "ahead of the winner after fine-tuning, by +1.00" in render(make_report(others=(ahead,)), [])
    assert "ahead of the winner" not in render(make_report(), [])


def test_a_lead_of_even_pruning_that_may_be_chance_is_said_to_be(make_report):
    winner = make_report().pruned.evidence.values
    apart = winner.copy()
    apart[:200], apart[-202:] = False, True
    close = Network("even", Hits(apart), 0.4, 20_000_000, 130_000, 560_000)
    assert "by +0.02\N{NO-BREAK SPACE}points, which may be chance" in render(make_report(others=(close,)), [])


def test_the_page_says_how_sure_the_result_is(make_report):
    text = Outline(render(make_report(), [])).text
    assert "1.1 points worse than the full network" in text
    assert "1.8 points better than the evenly pruned network" in text
    assert "10,000 test images" in text
    low, high = stats.binomtest(8695, 10_000).proportion_ci(0.95, method="wilson")
    assert f"({100 * low:.1f} to {100 * high:.1f})" in text


def test_an_even_network_that_is_the_result_is_told_and_drawn(make_report, tmp_path):
    even = Network("even", right(0.8795), 0.4, 20_000_000, 130_000, 560_000)
    report = make_report(pruned=even, others=())
    write_report(report, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "The evenly pruned network, one rate for all layers, is the winner" in page
    assert "pruned (even)" in page
    assert "is the winner" not in render(make_report(), [])
    assert metrics(report)["even_accuracy"] == metrics(report)["pruned_accuracy"] == 0.8795


def test_what_was_not_measured_is_left_out(make_report):
    bare = make_report(vanilla=False, others=(), settings={}, latency=make_report().latency.head(0))
    text = Outline(render(bare, [])).text
    assert not any(word in text for word in ("Vanilla", "latency", "Latency", "Settings", "Look at this first"))


def test_the_same_report_is_the_same_file(written, make_report):
    drawn = as_png(score_distribution(make_report(), LIGHT))
    assert drawn == (written[0] / "scores.png").read_bytes()
    assert render(make_report(), []) == render(make_report(), [])
