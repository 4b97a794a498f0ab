"""The stages' bodies on the digits: their tables agree with each other and with what is computed anew."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

import eagleeye
from eagleeye.data import open_source
from eagleeye.errors import ArtifactError, EagleEyeError, EvaluationError
from eagleeye.racing import Rung
from eagleeye.scores import SIGNS
from eagleeye.strategies import Shell, Strategy, evolve
from eagleeye.strategies.collect import Scored
from eagleeye.train import TrainResult
from tasks import artifacts, bench, evaluate, finetune, scoring, training
from tasks.artifacts import SCHEMAS
from tasks.bench import Bench, open_bench, scoring_key
from tasks.console import Terminal
from tasks.params import Params
from tasks.parcel import parcel
from tasks.preflight import check_best_score
from tasks.scorebook import Scorebook
from tasks.settings import override
from tests.tasks.conftest import ROOT, Recorder, Search, run_stage


def changed(params: Params, **sections: dict[str, object]) -> Params:
    update = {name: getattr(params, name).model_copy(update=values) for name, values in sections.items()}
    return params.model_copy(update=update)


def test_every_table_has_its_schema(search: Search) -> None:
    for path, schema in SCHEMAS.items():
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
    drawn = scores[scores["id"] != "even"]
    wanted = drawn.assign(worse=-drawn["accuracy"], fewer=-drawn["images"])
    wanted = wanted.sort_values(["fewer", "worse", "loss", "id"])["id"]
    assert list(ranking["id"]) == [*wanted, "even"]
    assert ranking["rank"].tolist()[:-1] == [1, 2, 3, 4, 5, 6]
    assert pd.isna(ranking["rank"].iloc[-1])


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
        assert row["test_accuracy"] == pytest.approx((outputs.argmax(1) == images.labels).double().mean().item())
        assert row["macs"] * len(inputs) * 2 == counter.get_total_flops()
        assert row["macs"] == ranking.loc[name, "macs"]
        assert Path(row["file"]).with_suffix(".onnx").is_file()
        program = torch.export.load(Path(row["file"]).with_suffix(".pt2")).module()
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
    assert plotted["accuracy"].tolist() == ranking["accuracy"].tolist()[:-1]
    tuned = pd.read_csv(artifacts.PLOTS / "finetune.csv")
    assert tuned["id"].unique().tolist() == [results.loc["pruned", "id"]]
    assert tuned["epoch"].tolist() == list(range(1, search.params.finetune.epochs + 1))
    assert (artifacts.REPORT / "report.html").is_file()


def test_the_user_ends_with_a_table_and_where_to_look(search: Search) -> None:
    rows = search.contexts["report"].tables["result"]
    assert [row[0].split()[0] for row in rows][:1] == ["baseline"]
    assert len(rows) == 4
    assert "artifacts/report/report.html" in search.contexts["report"].said[-1]
    assert len(search.contexts["rank"].tables["ranking"]) == 6


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


def test_a_killed_search_continues_where_it_stopped(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = artifacts.SCORES.read_bytes()
    artifacts.SCORES.unlink()
    artifacts.SCOREBOOK.unlink()
    scored: list[tuple[str, Rung]] = []
    score = Bench.score

    def count(bench: Bench, strategy: Strategy, rung: Rung, begun: object) -> object:
        scored.append((strategy.id, rung))
        return score(bench, strategy, rung, begun)

    monkeypatch.setattr(Bench, "score", count)
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", search.params, Recorder(stop_after=3))
    assert not artifacts.SCORES.exists()
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", search.params, Recorder(stop_after=4))
    context = run_stage("evaluate", search.params)
    assert "evaluate: 4 of 5 candidates are on record already" in context.said
    first, last = Rung(16, 100), Rung(48, 287)
    assert [name for name, rung in scored if rung == first] == [f"s{n:04}" for n in range(6)]
    finalists = [name for name, rung in scored if rung == last]
    assert sorted(finalists) == sorted(set(finalists))
    assert "even" in finalists
    assert artifacts.SCORES.read_bytes() == wanted


@pytest.mark.parametrize(
    "settings", [{"candidates_per_task": 1}, {"candidates_per_task": 100, "workers": 1}, {"workers": 3}], ids=str
)
def test_a_score_does_not_depend_on_grouping_or_workers(search: Search, settings: dict[str, int]) -> None:
    wanted = artifacts.SCORES.read_bytes()
    artifacts.SCOREBOOK.unlink()
    evaluate.run(changed(search.params, evaluate=settings), Terminal(Console(file=io.StringIO())))
    assert artifacts.SCORES.read_bytes() == wanted


def test_candidates_are_scored_on_every_core(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts.SCOREBOOK.unlink()
    workers: list[int] = []
    mapped = Recorder.map

    def count(self: Recorder, *arguments: Any, **options: Any) -> Iterator[Any]:
        workers.append(options["workers"])
        return mapped(self, *arguments, **options)

    monkeypatch.setattr(Recorder, "map", count)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    bench._open.cache_clear()
    run_stage("evaluate", search.params)
    torch.set_num_threads(threads)
    assert set(workers) == {3}


def test_without_racing_every_candidate_sees_every_image(search: Search) -> None:
    raced = pd.read_parquet(artifacts.SCORES)
    context = run_stage("evaluate", changed(search.params, evaluate={"racing": "off"}))
    scores = pd.read_parquet(artifacts.SCORES)
    assert set(zip(scores["calibration_images"], scores["images"], strict=True)) == {(48, 287)}
    # Finalists of the race have their scores already, and they are the same.
    finalists = raced[raced["images"] == 287]
    assert len(context.items) == 7 - len(finalists)
    pd.testing.assert_frame_equal(scores[scores["id"].isin(finalists["id"])], finalists)


@pytest.mark.parametrize("by", ["loss", "agreement", "divergence"])
def test_another_score_races_and_ranks_anew_from_what_is_on_record(search: Search, by: str) -> None:
    before, ranked_before = (pd.read_parquet(path) for path in (artifacts.SCORES, artifacts.RANKING))
    wanted = [path.read_bytes() for path in (artifacts.SCORES, artifacts.RANKING)]
    params = changed(search.params, rank={"by": by})
    context = run_stage("evaluate", params)
    # Whoever goes on now and did not before; the first rung is on record.
    assert {entry.rung for entry in context.items} <= {Rung(48, 287)}
    assert not {entry.strategy.id for entry in context.items} & set(before.loc[before["images"] == 287, "id"])
    run_stage("rank", params)
    ranking = pd.read_parquet(artifacts.RANKING)
    assert (ranking["ranked_by"] == by).all()
    drawn = ranking[ranking["rank"].notna()]
    other = {"loss": "accuracy", "agreement": "divergence", "divergence": "agreement"}[by]
    turned = {name: drawn[name] * (1 if name in ("accuracy", "agreement") else -1) for name in (by, other)}
    keys = pd.DataFrame({"images": drawn["images"], **turned, "id": drawn["id"]})
    assert list(drawn["id"]) == list(keys.sort_values(list(keys), ascending=[False, False, False, True])["id"])
    same = before.merge(ranking, on=["id", "images"])
    for name in SIGNS:
        assert same[f"{name}_x"].equals(same[f"{name}_y"])
    # And back: nothing is scored, the tables are the same.
    assert run_stage("evaluate", search.params).items == []
    run_stage("rank", search.params)
    assert [path.read_bytes() for path in (artifacts.SCORES, artifacts.RANKING)] == wanted
    pd.testing.assert_frame_equal(pd.read_parquet(artifacts.RANKING), ranked_before)


def test_a_race_by_any_score_is_the_same_for_any_workers_however_often_it_was_killed(search: Search) -> None:
    params = changed(search.params, rank={"by": "divergence"})
    run_stage("evaluate", params)
    wanted = artifacts.SCORES.read_bytes()
    artifacts.SCOREBOOK.unlink()
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", params, Recorder(stop_after=4))
    evaluate.run(changed(params, evaluate={"workers": 3}), Terminal(Console(file=io.StringIO())))
    assert artifacts.SCORES.read_bytes() == wanted


def test_scores_on_record_are_the_means_of_what_is_kept_image_by_image(search: Search) -> None:
    with Scorebook(artifacts.SCOREBOOK) as book:
        found = book.known(scoring_key(search.params), Rung(16, 100))
    assert len(found) == 6
    for scores in found.values():
        merits = scores.accuracy, -scores.loss, scores.agreement, -scores.divergence
        for name, merit in zip(SIGNS, merits, strict=True):
            standing = scores.standing(name)
            assert standing.merits[0] == merit
            mean = standing.evidence.values.astype(np.float64).mean()
            assert mean == pytest.approx(abs(merit), rel=1e-3, abs=1e-6)
            assert len(standing.evidence.values) == 100


def test_generations_are_bred_from_the_score_that_ranks_the_higher_the_better(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}

    def watched(shell: Shell, scored: Scored, *, count: int, seed: int, max_draws: int) -> list[Strategy]:
        seen.update({strategy.id: fitness for strategy, fitness in scored})
        return evolve(shell, scored, count=count, seed=seed, max_draws=max_draws)

    monkeypatch.setattr(evaluate, "sampler", lambda _: watched)
    settings = {"sampler": "evolution", "generations": 2, "count": 6}
    params = changed(search.params, strategies=settings, evaluate={"first_images": (16, 100)}, rank={"by": "loss"})
    run_stage("strategies", params)
    run_stage("evaluate", params)
    with Scorebook(artifacts.SCOREBOOK) as book:
        found = book.known(scoring_key(params), Rung(16, 100))
    candidates = pd.read_parquet(artifacts.CANDIDATES).set_index("id")
    assert sorted(seen) == ["s0000", "s0001", "s0002"]
    for name, fitness in seen.items():
        assert fitness == -found["-".join(map(str, candidates["widths"][name]))].loss


@pytest.mark.parametrize("by", ["accuracy", "loss"])
def test_a_winner_at_chance_is_told_whatever_score_ranks(search: Search, by: str) -> None:
    params = changed(search.params, rank={"by": by})
    opened, context = open_bench(params, scoring_key(params)), Recorder()
    right = pd.read_parquet(artifacts.SCORES)["accuracy"].max()
    with Scorebook(artifacts.SCOREBOOK) as book:
        scores = next(iter(book.known(scoring_key(params), Rung(16, 100)).values()))
    check_best_score(opened, replace(scores, accuracy=right), context)
    assert context.warned == []
    # One that cannot make up its mind loses little and is right by chance.
    check_best_score(opened, replace(scores, accuracy=0.1, loss=2.3), context)
    assert context.warned[0].startswith("the best candidate is right on 10.00%, which is chance")


def test_a_larger_search_scores_only_the_new_candidates(search: Search) -> None:
    params = changed(search.params, strategies={"count": 9})
    run_stage("strategies", params)
    context = run_stage("evaluate", params)
    first = [entry.strategy.id for entry in context.items if entry.rung.sub_validation == 100]
    assert first == ["s0006", "s0007", "s0008"]


def test_another_way_of_scoring_scores_anew(search: Search) -> None:
    params = changed(search.params, evaluate={"mode": "paper", "iterations": 2, "vanilla": False})
    context = run_stage("evaluate", params)
    assert len(context.items) == 7  # no race
    assert pd.read_parquet(artifacts.SCORES)["vanilla_accuracy"].isna().all()


@pytest.mark.parametrize("criterion", ["taylor", "tests.tasks.networks:larger_last"])
def test_another_importance_scores_anew_and_reaches_the_pruned_network(search: Search, criterion: str) -> None:
    before = pd.read_parquet(artifacts.SCORES)
    params = changed(search.params, importance={"criterion": criterion})
    run_stage("evaluate", params)
    assert not pd.read_parquet(artifacts.SCORES)["accuracy"].equals(before["accuracy"])
    opened = open_bench(params, scoring_key(params))
    widths = [group.channels // 2 for group in opened.space.groups]
    rates = [1 - width / group.channels for width, group in zip(widths, opened.space.groups, strict=True)]
    small, other = opened.prune(rates).state_dict(), eagleeye.prune(opened.network, opened.space, rates).state_dict()
    assert any(not torch.equal(tensor, other[name]) for name, tensor in small.items())


def test_later_generations_are_bred_from_the_scores_of_earlier_ones(search: Search) -> None:
    params = changed(search.params, strategies={"sampler": "evolution", "generations": 3, "count": 11})
    run_stage("strategies", params)
    assert len(pd.read_parquet(artifacts.STRATEGIES)) == 4 + 1
    context = run_stage("evaluate", params)
    candidates, first = pd.read_parquet(artifacts.CANDIDATES), pd.read_parquet(artifacts.STRATEGIES)
    assert list(candidates["id"]) == [*(f"s{n:04}" for n in range(11)), "even"]
    pd.testing.assert_frame_equal(candidates[candidates["id"].isin(first["id"])].reset_index(drop=True), first)
    assert len({tuple(widths) for widths in candidates["widths"][:-1]}) == 11
    assert (abs(candidates["macs_fraction"][:-1] - 0.5) <= 0.005).all()
    assert [title.split(" (")[0] for title in context.steps] == [
        "evaluate generation 1/3",
        "evaluate generation 2/3",
        "evaluate 1/2",
        "evaluate 2/2",
    ]
    wanted = [path.read_bytes() for path in (artifacts.CANDIDATES, artifacts.SCORES)]
    again = run_stage("evaluate", params)
    assert again.items == []
    assert [path.read_bytes() for path in (artifacts.CANDIDATES, artifacts.SCORES)] == wanted
    run_stage("rank", params)
    assert pd.read_parquet(artifacts.RANKING)["rank"].notna().sum() == 11


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


def test_a_killed_fine_tuning_continues_and_ends_the_same(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [artifacts.PRUNED.read_bytes(), artifacts.FINETUNE_HISTORY.read_bytes(), artifacts.RESULTS.read_bytes()]
    for state in (artifacts.CACHE / "training" / "finetune").glob("*.pt"):
        state.unlink()
    # The export takes seconds, and is no part of what is interrupted.
    monkeypatch.setattr("tasks.finetune.export_onnx", lambda *_: 0.0)
    monkeypatch.setattr("tasks.finetune.export_program", lambda *_: 0.0)
    write = training._write

    def write_and_die(path: Path, state: dict[str, object]) -> None:
        write(path, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.training._write", write_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_stage("finetune", search.params)
    context = run_stage("finetune", search.params)
    assert context.said[0].endswith("continues after epoch 1 of 2")
    found = [artifacts.PRUNED.read_bytes(), artifacts.FINETUNE_HISTORY.read_bytes(), artifacts.RESULTS.read_bytes()]
    assert found == wanted


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
    network = eagleeye.models.build("cifar_resnet20", num_classes=10)
    eagleeye.models.save_checkpoint(network, artifacts.BASELINE)
    with pytest.raises(EvaluationError, match=r"which is chance; likely causes: weights that are not trained"):
        run_stage("evaluate", search.params)


def test_a_network_without_bn_is_searched_as_pruning_leaves_it(search: Search) -> None:
    params = changed(search.params, model={"name": "tests.tasks.networks:with_group_norm"}, rank={"top_k": 1})
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


def test_a_network_that_does_not_fit_leaves_no_artefact(search: Search) -> None:
    artifacts.BASELINE.unlink()
    with pytest.raises(EagleEyeError, match="does not exist"):
        run_stage("baseline", changed(search.params, model={"checkpoint": "checkpoints/none.pth"}))
    assert not artifacts.BASELINE.exists()


def test_an_item_scored_again_from_its_pickle_gives_the_same_bits(search: Search) -> None:
    artifacts.SCOREBOOK.unlink()
    context = run_stage("evaluate", search.params)
    table = pd.read_parquet(artifacts.SCORES).set_index("id")
    shared = pickle.dumps(parcel(search.params, scoring_key(search.params), *scoring.FILES))
    final = [entry for entry in context.items if entry.rung == Rung(48, 287)]
    assert [entry.begun[0] for entry in final if entry.begun] == [16] * (len(final) - 1)  # the reference starts there
    for entry in final:
        row = scoring.score(pickle.loads(shared), pickle.loads(pickle.dumps(entry)))  # noqa: S301 - our own
        assert (row.scores.accuracy, row.scores.loss) == (table["accuracy"][row.id], table["loss"][row.id])
        assert row.scores.correct == table["evidence"][row.id]


def test_the_same_widths_under_another_id_have_a_score_already(search: Search) -> None:
    table = artifacts.read_table(artifacts.STRATEGIES)
    artifacts.write_table(artifacts.STRATEGIES, table.assign(id="x" + table["id"]))
    before = pd.read_parquet(artifacts.SCORES)
    assert run_stage("evaluate", search.params).items == []
    pd.testing.assert_frame_equal(pd.read_parquet(artifacts.SCORES), before.assign(id="x" + before["id"]))


def test_a_reference_is_never_the_result() -> None:
    def tuned(origin: str, rank: object, accuracy: float) -> finetune.Tuned:
        training = TrainResult(pd.DataFrame(), 1, accuracy)
        return finetune.Tuned({"origin": origin, "rank": rank}, torch.nn.Identity(), training)

    first, second, even = tuned("uniform", 1, 0.8), tuned("uniform", 2, 0.8), tuned("even", pd.NA, 0.9)
    assert max([even, second, first], key=finetune._merit) is first


def test_sub_validation_images_are_not_trained_on(search: Search) -> None:
    workshop = training.open_workshop(search.params, search.params.finetune, "finetune")
    train, _ = open_source("digits")
    kept_back = set(pd.read_parquet(artifacts.SUB_VALIDATION)["row"])
    assert len(workshop.data) == len(train) - len(kept_back)
    wanted = np.bincount([label for row, label in enumerate(train.labels) if row not in kept_back])
    assert np.bincount(workshop.data.labels.numpy()).tolist() == wanted.tolist()


@pytest.mark.slow
def test_fine_tuning_runs_under_torchrun_for_every_chosen_candidate(search: Search) -> None:
    override(Path("params.yaml"), {"finetune.epochs": 1, "finetune.seed": 5})
    shutil.rmtree(artifacts.FINETUNE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "tasks"]
    subprocess.run([*command, "finetune"], check=True, env=environment, timeout=240)
    results = pd.read_parquet(artifacts.RESULTS)
    assert list(results["role"]).count("baseline") == 1
    assert len(results) == 4  # the two best, and the evenly pruned network
    assert (results["test_accuracy"] > 0.5).all()
