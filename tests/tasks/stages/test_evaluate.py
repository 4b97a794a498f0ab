"""The scoring of candidates on the digits: it continues, repeats nothing, and depends on the candidate alone."""

import io
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import eagleeye
from eagleeye.engine import Engine
from eagleeye.scoring.entry import Entry, Scored, score_entry
from eagleeye.scoring.racing import Rung
from eagleeye.strategies import Shell, Strategy, evolve
from eagleeye.strategies.collect import Scored as Tried
from eagleeye.task.classification import CLASSIFICATION, SCORERS
from tasks import artifacts
from tasks.inputs import evaluator
from tasks.inputs.evaluator import open_evaluator, scoring_key
from tasks.inputs.preflight import check_best_score
from tasks.inputs.space import generation_sizes
from tasks.run.console import Terminal
from tasks.run.shared import share
from tasks.stages import evaluate
from tasks.state.scorebook import Scorebook
from tasks.work import scoring
from tests.tasks.conftest import Recorder, Search, changed, run_stage


def test_a_killed_search_continues_where_it_stopped(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = artifacts.SCORES.read_bytes()
    artifacts.SCORES.unlink()
    artifacts.SCOREBOOK.unlink()
    scored: list[tuple[str, Rung]] = []

    def count(engine: Engine, entry: Entry, *, vanilla: bool) -> Scored:
        scored.append((entry.strategy.id, entry.rung))
        return score_entry(engine, entry, vanilla=vanilla)

    monkeypatch.setattr(scoring, "score_entry", count)
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", search.params, Recorder(stop_after=6))
    assert not artifacts.SCORES.exists()
    # One is left of the first rung; at least two are in the last, the leader and the reference.
    with pytest.raises(KeyboardInterrupt):
        run_stage("evaluate", search.params, Recorder(stop_after=2))
    context = run_stage("evaluate", search.params)
    last = (pd.read_parquet(artifacts.SCORES)["images"] == 287).sum()
    assert f"evaluate: 2 of {last} candidates are on record already" in context.said
    first, last = Rung(16, 100), Rung(48, 287)
    assert [name for name, rung in scored if rung == first] == [*(f"s{n:04}" for n in range(6)), "even"]
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
    evaluator._open.cache_clear()
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
    for name in SCORERS:
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
    assert len(found) == 7
    for scores in found.values():
        for name, scorer in SCORERS.items():
            standing, merit = scores.standing(CLASSIFICATION.order(name)), scorer.sign * scores.values[name]
            assert standing.merits[0] == merit
            mean = standing.evidence.values.astype(np.float64).mean()
            assert mean == pytest.approx(abs(merit), rel=1e-3, abs=1e-6)
            assert len(standing.evidence.values) == 100


def test_generations_are_bred_from_the_score_that_ranks_the_higher_the_better(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, float] = {}

    def watched(shell: Shell, scored: Tried, *, count: int, seed: int, max_draws: int) -> list[Strategy]:
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
    assert sorted(seen) == ["even", "s0000", "s0001", "s0002"]
    for name, fitness in seen.items():
        assert fitness == -found["-".join(map(str, candidates["widths"][name]))].values["loss"]


@pytest.mark.parametrize("by", ["accuracy", "loss"])
def test_a_winner_at_chance_is_told_whatever_score_ranks(search: Search, by: str) -> None:
    params = changed(search.params, rank={"by": by})
    opened, context = open_evaluator(params, scoring_key(params)), Recorder()
    right = pd.read_parquet(artifacts.SCORES)["accuracy"].max()
    with Scorebook(artifacts.SCOREBOOK) as book:
        scores = next(iter(book.known(scoring_key(params), Rung(16, 100)).values()))
    check_best_score(opened, replace(scores, values={**scores.values, "accuracy": right}), context)
    assert context.warned == []
    # One that cannot make up its mind loses little and is right by chance.
    check_best_score(opened, replace(scores, values={**scores.values, "accuracy": 0.1, "loss": 2.3}), context)
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
    opened = open_evaluator(params, scoring_key(params))
    widths = [group.channels // 2 for group in opened.space.groups]
    rates = [1 - width / group.channels for width, group in zip(widths, opened.space.groups, strict=True)]
    small, other = opened.prune(rates).state_dict(), eagleeye.prune(opened.network, opened.space, rates).state_dict()
    assert any(not torch.equal(tensor, other[name]) for name, tensor in small.items())


def test_later_generations_are_bred_from_the_scores_of_earlier_ones(search: Search) -> None:
    params = changed(search.params, strategies={"sampler": "evolution", "generations": 3, "count": 11})
    run_stage("strategies", params)
    assert len(pd.read_parquet(artifacts.STRATEGIES)) == 4 + 1
    context = run_stage("evaluate", params)
    # Those of the search before; what this one has scored in an earlier generation is no news.
    assert next(line for line in context.said if "on record" in line).startswith("evaluate: 5 of 5")
    assert not any("of 9 " in line for line in context.said)
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


@pytest.mark.parametrize(("count", "wanted"), [(11, [4, 4, 3]), (3, [1, 1, 1]), (2, [1, 1])])
def test_no_generation_is_empty(search: Search, count: int, wanted: list[int]) -> None:
    params = changed(search.params, strategies={"sampler": "evolution", "generations": 3, "count": count})
    assert generation_sizes(params) == wanted


def test_an_item_scored_again_from_its_pickle_gives_the_same_bits(search: Search) -> None:
    artifacts.SCOREBOOK.unlink()
    context = run_stage("evaluate", search.params)
    table = pd.read_parquet(artifacts.SCORES).set_index("id")
    shared = pickle.dumps(share(search.params, scoring_key(search.params), *scoring.FILES))
    final = [entry for entry in context.items if entry.rung == Rung(48, 287)]
    # Everybody goes on from the first rung: the reference has run it, too.
    assert [entry.begun[0] for entry in final if entry.begun] == [16] * len(final)
    for entry in final:
        row = scoring.score(pickle.loads(shared), pickle.loads(pickle.dumps(entry)))  # noqa: S301 - our own
        assert (row.scores.values["accuracy"], row.scores.values["loss"]) == (
            table["accuracy"][row.id],
            table["loss"][row.id],
        )
        assert row.scores.images["accuracy"] == table["evidence"][row.id]


def test_the_same_widths_under_another_id_have_a_score_already(search: Search) -> None:
    table = artifacts.read_table(artifacts.STRATEGIES)
    artifacts.write_table(artifacts.STRATEGIES, table.assign(id="x" + table["id"]))
    before = pd.read_parquet(artifacts.SCORES)
    assert run_stage("evaluate", search.params).items == []
    pd.testing.assert_frame_equal(pd.read_parquet(artifacts.SCORES), before.assign(id="x" + before["id"]))
