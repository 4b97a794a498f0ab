"""What MLflow should show, against the tables of a finished search."""

import math

import pandas as pd

from eagleeye.scoring.racing import Scores
from eagleeye.task.classification import COLUMNS
from tasks.artifacts import REPORT, RESULTS, SCOREBOOK, SCORES, write_table
from tasks.record.view import candidate_of, view_of
from tests.tasks.conftest import Search, changed


def test_a_candidate_is_its_row_with_its_scores():
    row = {"origin": "uniform", "macs": 5, "params": 3, "macs_fraction": 0.5, "params_fraction": 0.3}
    a, b = ({**row, "id": name, "latency": ms, "rates": [0.1, 0.2]} for name, ms in (("a", 1.5), ("b", math.nan)))
    values = {"accuracy": 0.5, "loss": 1.0, "agreement": 0.6, "divergence": 0.7}
    found = candidate_of(["conv1", "conv2"], b, 100, Scores(values | {"loss": math.nan}, {}, seconds=2.0))
    assert (found.id, found.rates, found.images, found.latency) == ("b", {"conv1": 0.1, "conv2": 0.2}, 100, None)
    assert math.isnan(found.scores["loss"])
    found = candidate_of(["conv1", "conv2"], a, 100, Scores(values, {}))
    assert (found.latency, found.seconds, found.macs) == (1.5, None, 5)
    assert found.scores == values


def test_a_candidate_is_shown_from_rung_to_rung_with_what_is_on_record(search: Search):
    view = view_of(search.params, ["evaluate"])
    last = pd.read_parquet(SCORES).set_index("id")
    told = {name: [one for one in view.candidates if one.id == name] for name in last.index}
    assert [one.images for one in view.candidates] == sorted(one.images for one in view.candidates)
    for name, row in last.iterrows():
        assert told[name][-1].scores == {column: row[column] for column in COLUMNS}
        assert [one.images for one in told[name]][-1] == row["images"]
        assert all(one.seconds > 0 for one in told[name])
    assert {len(rungs) for rungs in told.values()} > {1}


def test_of_a_search_that_ran_elsewhere_the_last_rungs_are_shown(search: Search):
    SCOREBOOK.unlink()
    table = pd.read_parquet(SCORES)
    table.loc[0, [column for column in COLUMNS if column.startswith("vanilla")]] = None
    write_table(SCORES, table)
    found = {one.id: one for one in view_of(search.params, ["evaluate"]).candidates}
    assert set(found) == set(table["id"])
    assert set(found[table["id"][0]].scores) == {"accuracy", "loss", "agreement", "divergence"}
    assert all(one.seconds is None for one in found.values())


def test_scores_with_other_images_are_another_searchs(search: Search):
    images = {one.images for one in view_of(search.params, ["strategies"]).candidates}
    assert images == {one.images for one in view_of(search.params, ["evaluate"]).candidates}
    assert len(images) > 1
    seen = view_of(changed(search.params, evaluate={"mode": "paper"}), ["strategies"])
    assert seen.candidates == []


def test_settings_are_shown_without_passwords_and_without_where_mlflow_is(search: Search):
    params = changed(search.params, data={"options": {"train": "s3://user:sec@ret@host/images"}})
    settings = view_of(params, []).settings
    assert settings["data"]["options"] == {"train": "s3://host/images"}
    assert "tracking" not in settings


def test_what_a_stage_adds_is_shown_with_it_alone(search: Search):
    view = view_of(search.params, ["evaluate", "rank"])
    assert view.ranking is not None
    assert (list(view.tunings), view.winner, list(view.reports)) == ([], None, [])
    view = view_of(search.params, ["evaluate", "rank", "finetune", "report"])
    results = pd.read_parquet(RESULTS)
    tuned = results[results["role"] != "baseline"].set_index("id")
    assert {one.candidate: one.figures["final_accuracy"] for one in view.tunings} == tuned["test_accuracy"].to_dict()
    assert view.winner.tags["candidate"] == results[results["role"] == "pruned"]["id"].item()
    assert all(one.history["epoch"] == [1, 2] and "images_per_second" not in one.history for one in view.tunings)
    assert [report.name for report in view.reports] == ["report"]


def test_a_file_that_changes_is_another_upload(search: Search):
    before = view_of(search.params, ["report"]).reports[0].folder
    assert view_of(search.params, ["report"]).reports[0].folder == before
    with (REPORT / "report.json").open("a") as file:
        file.write(" ")
    assert view_of(search.params, ["report"]).reports[0].folder != before
