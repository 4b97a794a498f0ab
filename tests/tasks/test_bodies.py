"""The stages' bodies on the digits: their tables agree with each other and with what is computed anew."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import eagleeye
from eagleeye.data import open_source
from eagleeye.errors import ArtifactError, EagleEyeError, EvaluationError, ModelError
from eagleeye.latency.measure import device_name
from eagleeye.task.confidence import Hits
from tasks import artifacts
from tasks.artifacts import TABLES, schema_of
from tasks.inputs.network import load_network
from tests.tasks.conftest import Search, changed, run_stage


def test_every_table_has_its_schema(search: Search) -> None:
    for path in TABLES:
        schema = schema_of(path)
        if not path.is_relative_to(artifacts.CORRELATION):  # the study's own
            assert pq.read_schema(path).equals(schema), path


def test_subsets_are_disjoint_and_their_rows_lead_back(search: Search) -> None:
    train, _ = open_source("digits")
    parts = [pd.read_parquet(path) for path in (artifacts.CALIBRATION, artifacts.SUB_VALIDATION)]
    assert not set(parts[0]["row"]) & set(parts[1]["row"])
    for part in parts:
        assert [train.encoded(row) for row in part["row"]] == [image["bytes"] for image in part["image"]]
        assert list(part["label"]) == list(np.asarray(train.labels)[part["row"]])


def test_strategies_meet_the_budget_and_the_groups(search: Search) -> None:
    table, groups = pd.read_parquet(artifacts.STRATEGIES), pd.read_parquet(artifacts.GROUPS)
    assert list(table["id"]) == [*(f"s{n:04}" for n in range(6)), "even"]
    assert list(table["origin"]) == ["uniform"] * 6 + ["even"]
    drawn = table[table["origin"] == "uniform"]
    assert (abs(drawn["macs_fraction"] - 0.5) <= 0.005).all()
    for rates, widths in zip(table["rates"], table["widths"], strict=True):
        removed = np.floor(np.array(rates) * groups["channels"].to_numpy())
        assert list(groups["channels"] - removed) == list(widths)


def test_ranking_is_what_pandas_would_make_of_it(search: Search) -> None:
    ranking, scores = pd.read_parquet(artifacts.RANKING), pd.read_parquet(artifacts.SCORES)
    racing = scores[scores["competes"]]
    wanted = racing.assign(worse=-racing["accuracy"], fewer=-racing["images"])
    wanted = list(wanted.sort_values(["fewer", "worse", "loss", "id"])["id"])
    out = list(scores.loc[~scores["competes"], "id"])
    assert out in ([], ["even"])
    assert list(ranking["id"]) == wanted + out
    assert ranking["rank"].tolist()[: len(wanted)] == list(range(1, len(wanted) + 1))
    assert ranking["rank"][len(wanted) :].isna().all()


def test_results_are_those_of_the_saved_networks(search: Search) -> None:
    results = pd.read_parquet(artifacts.RESULTS).set_index("id")
    ranking = pd.read_parquet(artifacts.RANKING).set_index("id")
    assert sorted(results["role"]) == ["baseline", "other", "other", "pruned"]
    assert set(results.index) == {"baseline", *ranking.index[:2], "even"}
    _, test = open_source("digits")
    settings = search.params.data.preprocess
    shape = eagleeye.data.Preprocess(settings.size, settings.resize, settings.mean, settings.std)
    images = eagleeye.data.decode(test, None, shape)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (settings.mean, settings.std))
    inputs = (images.pixels / 255 - mean) / std
    for name, row in results.drop("baseline").iterrows():
        network = eagleeye.load(row["file"])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            outputs = network(inputs)
        right = outputs.argmax(1) == images.labels
        assert row["test_accuracy"] == pytest.approx(right.double().mean().item())
        assert Hits.unpack(row["test_hits"]).values.tolist() == right.tolist()
        assert row["test_images"] == len(inputs)
        assert row["macs"] * len(inputs) * 2 == counter.get_total_flops()
        assert row["macs"] == ranking.loc[name, "macs"]
        assert Path(row["file"]).with_suffix(".onnx").is_file()
        assert Path(row["file"]).with_suffix(".pt2").is_file()
        if row["role"] == "pruned":
            program = torch.export.load(artifacts.PRUNED.with_suffix(".pt2")).module()
            torch.testing.assert_close(program(inputs[:5]), outputs[:5], rtol=1e-3, atol=1e-4)


def test_the_result_is_the_best_on_the_sub_validation_images_and_no_reference(search: Search) -> None:
    results = pd.read_parquet(artifacts.RESULTS)
    competing = results[results["rank"].notna()]
    best = competing.sort_values(["validation_accuracy", "rank"], ascending=[False, True]).iloc[0]
    assert results.loc[results["role"] == "pruned", "id"].tolist() == [best["id"]]
    assert eagleeye.read_metadata(artifacts.PRUNED)["id"] == best["id"]


def test_metrics_and_plots_repeat_the_tables(search: Search) -> None:
    metrics = json.loads(artifacts.METRICS.read_text())
    results = pd.read_parquet(artifacts.RESULTS).set_index("role")
    assert metrics["pruned_accuracy"] == results.loc["pruned", "test_accuracy"]
    assert metrics["baseline_macs"] == results.loc["baseline", "macs"]
    plotted = pd.read_csv(artifacts.PLOTS / "ranking.csv")
    ranking = pd.read_parquet(artifacts.RANKING)
    assert plotted["accuracy"].tolist() == ranking.loc[ranking["rank"].notna(), "accuracy"].tolist()
    tuned = pd.read_csv(artifacts.PLOTS / "finetune.csv")
    assert tuned["id"].unique().tolist() == [results.loc["pruned", "id"]]
    assert tuned["epoch"].tolist() == list(range(1, search.params.finetune.epochs + 1))
    assert (artifacts.REPORT / "report.html").is_file()


def test_the_page_says_what_was_pruned_where_and_when(search: Search) -> None:
    page = (artifacts.REPORT / "report.html").read_text(encoding="utf-8")
    assert f"{search.params.model.name} at 50% MACs, on scikit-learn&#39;s handwritten digits" in page
    assert device_name(torch.device("cpu")) in page
    assert f"10 classes; {search.params.data.preprocess.size} pixels square" in page
    assert re.search(r"measured</th><td>\d{4}-\d\d-\d\d, on ", page)
    assert all(f"artifacts/finetune/pruned{suffix}" in page for suffix in (".safetensors", ".onnx", ".pt2"))
    assert "one channel each" in page


def test_the_onnx_file_says_what_the_saved_network_says(search: Search) -> None:
    onnx = pytest.importorskip("onnx")
    texts = {each.key: each.value for each in onnx.load(artifacts.PRUNED.with_suffix(".onnx")).metadata_props}
    assert json.loads(texts["classes"]) == [str(digit) for digit in range(10)]
    assert json.loads(texts["preprocess"])["size"] == search.params.data.preprocess.size
    assert texts.items() <= eagleeye.read_metadata(artifacts.PRUNED).items()


def test_the_user_ends_with_a_table_and_where_to_look(search: Search) -> None:
    rows = search.contexts["report"].tables["result"]
    winner = pd.read_parquet(artifacts.RESULTS).set_index("role").loc["pruned"]
    said = "\n".join(search.contexts["report"].said)
    assert re.search(
        rf"{winner['id']}: (\S+\spoints (better|worse) than|exactly as good as) the full network \(95% interval", said
    )
    assert f"{winner['test_images']:,} test images" in said
    assert [row[0].split()[0] for row in rows][:1] == ["baseline"]
    assert len(rows) == 4
    assert "artifacts/report/report.html" in search.contexts["report"].said[-1]
    # The best five, and the evenly pruned network if it is not one of them but out of the race.
    ranking = pd.read_parquet(artifacts.RANKING)
    assert len(search.contexts["rank"].tables["ranking"]) == 5 + ranking["rank"].isna().sum()


@pytest.mark.parametrize("stage", ["subset", "strategies", "evaluate", "rank"])
def test_the_same_settings_give_the_same_bytes(search: Search, stage: str) -> None:
    names = {
        "subset": [artifacts.CALIBRATION, artifacts.SUB_VALIDATION],
        "strategies": [artifacts.STRATEGIES, artifacts.GROUPS],
        "evaluate": [artifacts.SCORES],
        "rank": [artifacts.RANKING],
    }
    before, threads = [path.read_bytes() for path in names[stage]], torch.get_num_threads()
    if stage == "evaluate":
        artifacts.SCOREBOOK.unlink()
    for path in names[stage]:
        path.unlink()
    run_stage(stage, search.params)
    assert [path.read_bytes() for path in names[stage]] == before
    assert torch.get_num_threads() == threads


def test_widths_are_multiples_and_latency_limits_them(search: Search) -> None:
    budget = search.params.strategies.budget.model_copy(update={"macs": None, "latency": 0.9, "tolerance": 0.3})
    params = changed(search.params, strategies={"multiple": 4, "budget": budget})
    run_stage("strategies", params)
    table = pd.read_parquet(artifacts.STRATEGIES)
    assert {width % 4 for widths in table["widths"] for width in widths} == {0}
    assert (table["latency"] > 0).all()
    before = table["latency"].tolist()
    run_stage("strategies", params)  # measured once, then read
    assert pd.read_parquet(artifacts.STRATEGIES)["latency"].tolist() == before


def test_a_checkpoint_takes_the_place_of_training(search: Search, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(artifacts.BASELINE.read_bytes())
    params = changed(search.params, model={"checkpoint": str(weights)})
    context = run_stage("baseline", params)
    assert context.steps == {}
    assert artifacts.BASELINE.read_bytes() == weights.read_bytes()
    assert len(pd.read_parquet(artifacts.BASELINE_HISTORY)) == 0


def test_an_untrained_network_is_refused_with_likely_causes(search: Search) -> None:
    torch.manual_seed(0)
    network = load_network(search.params)
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    eagleeye.models.save_checkpoint(network, artifacts.BASELINE)
    with pytest.raises(EvaluationError, match=r"which is chance; likely causes: weights that are not trained"):
        run_stage("evaluate", search.params)


def test_a_network_that_could_not_be_saved_is_refused_before_the_search(search: Search) -> None:
    params = changed(search.params, model={"name": "tests.tasks.networks:with_a_histogram", "options": {}})
    run_stage("baseline", params)
    with pytest.raises(
        ModelError, match="the pruned network could not be saved: operation 'histc' in the network's for"
    ):
        run_stage("strategies", params)


def test_a_network_without_bn_is_searched_as_pruning_leaves_it(search: Search) -> None:
    model = {"name": "tests.tasks.networks:with_group_norm", "options": {}}
    params = changed(search.params, model=model, rank={"top_k": 1})
    run_stage("baseline", params)
    budget = params.strategies.budget.model_copy(update={"tolerance": 0.1})
    params = changed(params, strategies={"even": False, "count": 4, "budget": budget}, finetune={"epochs": 1})
    run_stage("strategies", params)
    context = run_stage("evaluate", params)
    assert context.said[0].startswith("preflight: the network has no batch normalisation")
    scores = pd.read_parquet(artifacts.SCORES)
    assert scores["accuracy"].tolist() == scores["vanilla_accuracy"].tolist()
    run_stage("rank", params)
    run_stage("finetune", params)
    assert artifacts.PRUNED.is_file()


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("baseline", artifacts.SUB_VALIDATION),
        ("evaluate", artifacts.BASELINE),
        ("rank", artifacts.SCORES),
        ("finetune", artifacts.RANKING),
        ("report", artifacts.RESULTS),
    ],
)
def test_a_missing_artefact_is_named(search: Search, stage: str, path: Path) -> None:
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{path} is missing: run `dvc repro`"):
        run_stage(stage, search.params)


def test_a_damaged_table_is_named(search: Search) -> None:
    artifacts.SCORES.write_bytes(artifacts.SCORES.read_bytes()[:-40])
    with pytest.raises(ArtifactError, match=r"artifacts/scores\.parquet is damaged"):
        run_stage("rank", search.params)


def test_a_folder_in_the_place_of_a_table_is_named(search: Search) -> None:
    artifacts.SCORES.unlink()
    artifacts.SCORES.mkdir()
    with pytest.raises(ArtifactError, match=r"^artifacts/scores\.parquet is damaged \(a folder\): delete it"):
        run_stage("rank", search.params)


@pytest.mark.parametrize("path", [artifacts.SCORES, artifacts.STRATEGIES])
def test_a_table_of_any_bytes_is_read_or_named(search: Search, path: Path) -> None:
    whole, noise = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        garbled = bytearray(whole)
        start = int(noise.integers(len(whole)))
        garbled[start : start + int(noise.integers(1, 40))] = noise.bytes(int(noise.integers(0, 40)))
        path.write_bytes(garbled)
        try:
            assert artifacts.read_table(path).columns.tolist() == artifacts.schema_of(path).names
        except ArtifactError as error:
            assert "\n" not in str(error)


def test_a_table_with_other_columns_is_named(search: Search) -> None:
    artifacts.SCORES.write_bytes(artifacts.STRATEGIES.read_bytes())
    with pytest.raises(ArtifactError, match=r"scores\.parquet is damaged \(other columns than docs/tables\.md says\)"):
        run_stage("rank", search.params)


def test_a_network_that_does_not_fit_leaves_no_artefact(search: Search) -> None:
    artifacts.BASELINE.unlink()
    with pytest.raises(EagleEyeError, match="does not exist"):
        run_stage("baseline", changed(search.params, model={"checkpoint": "checkpoints/none.pth"}))
    assert not artifacts.BASELINE.exists()
