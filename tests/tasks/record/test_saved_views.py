"""Saved views, unpacked as MLflow's pages do."""

import base64
import json
import zlib
from dataclasses import replace

import pytest

from eagleeye.task.classification import SCORERS
from tasks.record.saved_views import candidates_view, searches_view, tunings_view
from tasks.record.texts import CLASSES, Candidate


def _unpacked(text: str, name: str):
    view = json.loads(text)
    kind, packed = view["state"].split(";")
    assert (view["name"], view["createdAt"], kind) == (name, 7, "deflate")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def _state(groups, ranked_by="accuracy", vanilla=None, **measured):
    rates = dict.fromkeys(groups, 0.1)
    scores = dict.fromkeys(SCORERS, 0.6) | (vanilla or {})
    candidate = Candidate("s0", "uniform", rates, 10, 5, 0.5, 0.25, scores, **measured)
    return _unpacked(candidates_view("name", "run", candidate, 7, replace(CLASSES, ranked_by=ranked_by)), "name")


@pytest.mark.parametrize("count", [0, 1, 5, 8, 9, 60, 300])
def test_the_view_shows_rates_from_the_first_to_the_last_group(count):
    groups = [f"layer{place}" for place in range(count)]
    rates = _state(groups)["compareRunCharts"][0]["selectedParams"]
    assert len(rates) == min(count, 8)
    assert rates == sorted(rates, key=lambda rate: int(rate.removeprefix("rate/layer")))
    if groups:
        assert (rates[0], rates[-1]) == ("rate/layer0", f"rate/layer{count - 1}")


def test_the_view_lists_one_search_best_first():
    state = _state(["a"])
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'run' and tags.`eagleeye.candidate` LIKE '%'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`accuracy`", False)


def test_the_view_is_about_the_score_that_ranks():
    state = _state(["a"], "divergence", {"vanilla_divergence": 0.9, "vanilla_accuracy": 0.1})
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`divergence`", True)
    assert state["selectedColumns"][0] == "metrics.`divergence`"
    assert "metrics.`vanilla_accuracy`" not in state["selectedColumns"]
    parallel, against_vanilla, against_cost = state["compareRunCharts"]
    assert parallel["selectedMetrics"] == ["params_fraction", "divergence"]
    assert (against_vanilla["xaxis"]["key"], against_vanilla["yaxis"]["key"]) == ("vanilla_divergence", "divergence")
    assert against_cost["yaxis"]["key"] == "divergence"


def test_the_view_has_columns_for_the_score_and_every_budget_that_is_measured():
    columns = [f"metrics.`{name}`" for name in (*SCORERS, "macs_fraction", "params_fraction")]
    assert _state(["a"])["selectedColumns"] == [*columns, "metrics.`final_accuracy`"]
    measured = _state(["a"], latency=2.5, images=100)["selectedColumns"]
    assert set(measured) - set(columns) == {f"metrics.`{name}`" for name in ("latency", "images", "final_accuracy")}


def test_the_view_of_searches_lists_nothing_else_newest_first():
    state = _unpacked(searches_view(7, CLASSES), "Searches")
    assert state["searchFilter"] == "tags.`eagleeye.search` != ''"
    assert (state["orderByKey"], state["orderByAsc"]) == ("attributes.start_time", False)
    assert "metrics.`final_accuracy`" in state["selectedColumns"]
    assert "compareRunCharts" not in state


def test_the_view_of_fine_tunings_draws_the_curves_of_one_search():
    state = _unpacked(tunings_view("name", "run", 7, CLASSES), "name")
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'run' and tags.`eagleeye.finetune` LIKE '%'"
    assert {chart["type"] for chart in state["compareRunCharts"]} == {"LINE"}
    curves = [chart["metricKey"] for chart in state["compareRunCharts"]]
    assert {"validation_accuracy", "train_loss"} <= set(curves)
    (section,) = state["compareRunSections"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {section["uuid"]}
