"""The correlation study on the digits: its tables against what is computed anew, killed and continued."""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from eagleeye.data import Batches
from tasks import artifacts
from tasks.artifacts import TABLES, schema_of
from tasks.inputs.evaluator import open_evaluator, scoring_key
from tasks.params import Params
from tasks.stages import correlation
from tasks.work import training
from tests.tasks.conftest import Recorder, Search, run_stage

TABLES = [path for path in TABLES if path.is_relative_to(artifacts.CORRELATION)]


def small(params: Params, folder: Path) -> Params:
    recipe = params.correlation.training.model_copy(update={"epochs": 1})
    changes = {"candidates": 3, "seeds": 2, "resamples": 100, "training": recipe}
    # A store of its own: MLflow keeps stores open by their address, whatever the working directory.
    tracking = params.tracking.model_copy(update={"uri": f"sqlite:///{folder}/study.db"})
    correlated = params.correlation.model_copy(update=changes)
    return params.model_copy(update={"correlation": correlated, "tracking": tracking})


@pytest.fixture(scope="module")
def done(finished: Search, tmp_path_factory: pytest.TempPathFactory) -> Search:
    """The folder of a finished study; not to be changed."""
    folder = tmp_path_factory.mktemp("study") / "copy"
    shutil.copytree(finished.folder, folder)
    params = small(finished.params, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        context = run_stage("correlation", params)
    return Search(folder, params, {"correlation": context})


@pytest.fixture
def study(done: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A copy of the finished study, in the working directory."""
    shutil.copytree(done.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Search(tmp_path / "copy", done.params, done.contexts)


def ranking_of(count: int) -> pd.DataFrame:
    ranks = pd.array([*range(1, count + 1), pd.NA], dtype="Int64")
    names = [*(f"s{n}" for n in range(count)), "even"]
    origins = ["uniform"] * count + ["even"]
    return pd.DataFrame({"rank": ranks, "id": names, "origin": origins}).sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    ("count", "wanted"), [(3, [1, 5, 9]), (5, [1, 3, 5, 7, 9]), (9, range(1, 10)), (50, range(1, 10))]
)
def test_candidates_are_spread_over_the_ranking(count: int, wanted: list[int]) -> None:
    found = correlation.chosen(ranking_of(9), count)
    assert found["rank"].dropna().tolist() == list(wanted)
    assert found["id"].iloc[-1] == "even"


def test_every_table_has_its_schema_and_its_rows(study: Search) -> None:
    for path in TABLES:
        assert pq.read_schema(path).equals(schema_of(path)), path
    fits = pd.read_parquet(artifacts.FITS)
    assert len(fits) == 4 * 2
    assert set(fits["seed"]) == {0, 1}
    assert len(pd.read_parquet(artifacts.FIT_HISTORY)) == 4 * 2
    assert len(pd.read_parquet(artifacts.WEIGHTS)) == 4 * 2 * 3
    assert len(pd.read_parquet(artifacts.DISTANCES)) == 4 * 2 * 7  # BN layers
    for name in ("study.html", "correlation.png", "statistics.png", "weight_shift.png", "scores_and_accuracies.png"):
        assert (artifacts.CORRELATION / name).is_file()


def test_scores_are_those_of_networks_built_one_by_one(study: Search) -> None:
    evaluator = open_evaluator(study.params, scoring_key(study.params))
    images: Batches = evaluator.engine.sub_validation
    inputs, labels = images.part(0, len(images.labels))
    ranking = pd.read_parquet(artifacts.RANKING).set_index("id")
    with torch.no_grad():
        full = torch.log_softmax(evaluator.network(inputs).double(), 1)
    for row in pd.read_parquet(artifacts.STUDIED).to_dict("records"):
        network = evaluator.prune(list(ranking.loc[row["id"], "rates"]))
        for prefix in ("vanilla_", ""):
            if not prefix:
                evaluator.adapt(network)
            with torch.no_grad():
                mine = torch.log_softmax(network(inputs).double(), 1)
            wanted = {
                "accuracy": (mine.argmax(1) == labels).double().mean(),
                "loss": -mine[torch.arange(len(labels)), labels].mean(),
                "agreement": (mine.argmax(1) == full.argmax(1)).double().mean(),
                "divergence": (full.exp() * (full - mine)).sum(1).mean(),
            }
            for name, value in wanted.items():  # scored in bfloat16 where that is native
                assert row[prefix + name] == pytest.approx(float(value), rel=0.1, abs=0.02), (row["id"], prefix + name)


def test_accuracies_are_means_over_the_seeds_and_differ_between_seeds(study: Search) -> None:
    fits, table = pd.read_parquet(artifacts.FITS), pd.read_parquet(artifacts.STUDIED).set_index("id")
    for name, rows in fits.groupby("id"):
        found = table.loc[name, ["test_low", "test_accuracy", "test_high"]].tolist()
        assert found == [rows["test_accuracy"].min(), rows["test_accuracy"].mean(), rows["test_accuracy"].max()]
    losses = fits.pivot_table(index="id", columns="seed", values="test_loss")
    assert (losses[0] != losses[1]).all()


def test_coefficients_are_those_of_scipy_without_the_reference(study: Search) -> None:
    table = pd.read_parquet(artifacts.STUDIED)
    drawn = table[table["origin"] != "even"]
    found = pd.read_parquet(artifacts.COEFFICIENTS).set_index(["score", "measure"])["value"]
    assert found["accuracy", "pearson"] == pytest.approx(stats.pearsonr(drawn["accuracy"], drawn["test_accuracy"])[0])
    assert found["divergence", "spearman"] == pytest.approx(
        stats.spearmanr(-drawn["divergence"], drawn["test_accuracy"])[0]
    )
    fits = pd.read_parquet(artifacts.FITS).pivot_table(index="id", columns="seed", values="test_accuracy").drop("even")
    assert found["another fine-tuning", "kendall"] == pytest.approx(stats.kendalltau(fits[0], fits[1])[0])
    best = drawn.loc[drawn["accuracy"].idxmax(), "test_accuracy"]
    assert found["accuracy", "regret"] == pytest.approx(drawn["test_accuracy"].max() - best)


def test_recalibrated_statistics_are_closer_to_the_fine_tuned_ones(study: Search) -> None:
    table = pd.read_parquet(artifacts.DISTANCES)
    later = table[table["layer"] != table["layer"].iloc[0]]  # what enters the first layer, pruning does not change
    assert later["adaptive_mean"].median() < 0.7 * later["vanilla_mean"].median()
    assert later["adaptive_variance"].median() < 0.7 * later["vanilla_variance"].median()


def test_metrics_and_plot_repeat_the_tables(study: Search) -> None:
    table = pd.read_parquet(artifacts.COEFFICIENTS).set_index(["measure", "score"])["value"]
    metrics = json.loads(artifacts.CORRELATION_METRICS.read_text())
    assert metrics["spearman"]["accuracy"] == table["spearman", "accuracy"]
    plotted = pd.read_csv(artifacts.CORRELATION_PLOT)
    assert len(plotted) == 3
    assert np.allclose(plotted["test_accuracy"], pd.read_parquet(artifacts.STUDIED)["test_accuracy"][:3])


def test_the_user_ends_with_a_table_and_the_answer(study: Search) -> None:
    context = study.contexts["correlation"]
    assert len(context.tables["correlation"]) == 12
    assert any("Spearman's rank correlation" in line for line in context.said)


def test_every_fine_tuning_is_one_nested_run_that_leaves_the_search_alone(study: Search) -> None:
    store = sqlite3.connect(study.params.tracking.uri.removeprefix("sqlite:///"))
    query = "SELECT run_uuid FROM tags JOIN runs USING (run_uuid) WHERE key = ? AND value = ? AND lifecycle_stage = ?"
    runs = {run for (run,) in store.execute(query, ("eagleeye.study", "correlation", "active"))}
    assert len(runs) == 4 * 2
    finals = store.execute("SELECT run_uuid, value FROM latest_metrics WHERE key = 'final_accuracy'").fetchall()
    assert {run for run, _ in finals} == runs
    assert sorted(value for _, value in finals) == sorted(pd.read_parquet(artifacts.FITS)["test_accuracy"])
    # The coefficients are a table of the search's run.
    [path] = Path().glob("mlruns/**/correlation.json")
    table = pd.read_json(path, orient="split", precise_float=True).set_index("figure")["value"]
    found = pd.read_parquet(artifacts.COEFFICIENTS).set_index(["measure", "score"])["value"]
    assert table["pearson/accuracy"] == pytest.approx(found["pearson", "accuracy"], rel=1e-9)


@pytest.mark.slow
def test_a_killed_study_continues_where_it_stopped(study: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {path: path.read_bytes() for path in [*TABLES, artifacts.CORRELATION_METRICS]}
    shutil.rmtree(artifacts.CORRELATION)
    shutil.rmtree(artifacts.STUDIES)
    with pytest.raises(KeyboardInterrupt):
        run_stage("correlation", study.params, Recorder(stop_after=2))  # of the scores
    write = training._write

    def write_and_die(path: Path, state: dict[str, object]) -> None:
        write(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # within a fine-tuning, after its first epoch
        patch.setattr("tasks.work.training._write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage("correlation", study.params)
    states = artifacts.CACHE / "training" / "correlation"
    assert len(list(states.glob("*.pt"))) == 1
    with pytest.raises(KeyboardInterrupt):
        run_stage("correlation", study.params, Recorder(stop_after=3))
    context = run_stage("correlation", study.params)
    assert "correlation: 3 of 8 fine-tunings are on record already" in context.said
    assert len(context.items) == 5
    assert {path: path.read_bytes() for path in wanted} == wanted
    assert not list(states.glob("*.pt"))


@pytest.mark.slow
def test_more_seeds_or_candidates_fine_tune_only_what_is_new(study: Search) -> None:
    changed = study.params.correlation.model_copy(update={"seeds": 3, "candidates": 5})
    context = run_stage("correlation", study.params.model_copy(update={"correlation": changed}))
    fits = [item for item in context.items if hasattr(item, "seed")]
    assert len(fits) == 6 * 3 - 4 * 2
