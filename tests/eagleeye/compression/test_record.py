"""A search that was killed goes on from its file, with the same result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import eagleeye
from eagleeye.compression.record import key_of
from eagleeye.engine import Engine
from eagleeye.errors import ArtifactError
from eagleeye.task import by_name
from eagleeye.task.classification import Classification
from tests.eagleeye.compression.digits import trained
from tests.eagleeye.compression.test_one_call import LABELS, X, compress


class KilledError(Exception):
    pass


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    scored: list[str] = []
    score = Engine.score

    def count(self: Engine, strategy: Any, **rest: Any) -> Any:
        scored.append(strategy.id)
        return score(self, strategy, **rest)

    monkeypatch.setattr(Engine, "score", count)
    return scored


def test_it_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = compress(epochs=2)
    path = tmp_path / "search" / "half.sqlite"

    def kill(candidate: eagleeye.Candidate) -> None:
        if candidate.done == 4:
            raise KilledError

    with pytest.raises(KilledError):
        compress(epochs=2, resume=path, on_candidate=kill)
    scored = counted(monkeypatch)
    told: list[eagleeye.Candidate] = []
    found = compress(epochs=2, resume=path, on_candidate=told.append)
    assert 0 < len(scored) <= len(undisturbed.ranking) - 4
    assert len(told) == len(scored)
    assert told[-1].done == told[-1].total == len(undisturbed.ranking)
    pd.testing.assert_frame_equal(found.ranking, undisturbed.ranking)
    same_network(found, undisturbed)
    scored.clear()
    again = compress(epochs=2, resume=path)
    assert scored == []
    same_network(again, undisturbed)


def test_fine_tuning_goes_on_at_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = compress(epochs=3)
    path = tmp_path / "half.sqlite"
    keep = eagleeye.compression.record.Record.keep_state

    def kill(self: Any, key: str, state: dict[str, Any]) -> None:
        keep(self, key, state)
        if state["epoch"] == 2:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(eagleeye.compression.record.Record, "keep_state", kill)
        with pytest.raises(KilledError):
            compress(epochs=3, resume=path)
    found = compress(epochs=3, resume=path)
    speed = "images_per_second"
    pd.testing.assert_frame_equal(found.history.drop(columns=speed), undisturbed.history.drop(columns=speed))
    same_network(found, undisturbed)


def test_it_goes_on_in_the_last_round_from_the_statistics_of_the_first(tmp_path: Path) -> None:
    images = (X[:128], (X[128:], LABELS[128:]))  # of more than 1,024 images
    changes = {"calibration": None, "sub_validation": None}
    told: list[eagleeye.Candidate] = []
    undisturbed = compress(images, on_candidate=told.append, **changes)
    assert {each.round for each in told} == {"1/2", "2/2"}

    def kill(candidate: eagleeye.Candidate) -> None:
        if candidate.round == "1/2" and candidate.done == candidate.total:
            raise KilledError

    with pytest.raises(KilledError):
        compress(images, resume=tmp_path / "half.sqlite", on_candidate=kill, **changes)
    found = compress(images, resume=tmp_path / "half.sqlite", **changes)
    pd.testing.assert_frame_equal(found.ranking, undisturbed.ranking)
    same_network(found, undisturbed)


def test_other_images_or_weights_are_scored_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.sqlite"
    compress(resume=path)
    scored = counted(monkeypatch)
    compress((X + 1e-4, LABELS), resume=path)  # the same candidates
    assert len(scored) >= 6
    scored.clear()
    compress(resume=path)
    assert scored == []
    other = torch.nn.Sequential(*(module for module in trained()))
    other[-1].bias.data += 1e-3
    try:
        eagleeye.compress(other, (X, LABELS), candidates=6, calibration=128, sub_validation=300, macs=0.5, resume=path)
    finally:
        other[-1].bias.data -= 1e-3
    assert len(scored) >= 6


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a record of anything" * 100)
    with pytest.raises(ArtifactError, match=r"resume: .*notes.txt cannot be used .*; give a file of a former search"):
        compress(resume=tmp_path / "notes.txt")
    with pytest.raises(ArtifactError, match="cannot be used"):
        compress(resume=tmp_path)


def same_network(one: eagleeye.Compressed, other: eagleeye.Compressed) -> None:
    assert one.winner == other.winner
    assert one.scores == other.scores
    tensors = other.model.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in one.model.state_dict().items())


def test_a_task_of_ones_own_that_was_edited_under_the_same_name_is_another_search() -> None:
    class Mine(Classification):
        name = "mine"

    def edited(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.argmin(dim=1) == labels

    model = trained()
    space = eagleeye.trace(model, X[:1])
    engine = Engine(model, space, X[:40], (X[40:80], LABELS[40:80]), method=eagleeye.Method(), task=Mine())
    before = key_of(engine)
    assert key_of(engine) == before
    Mine.scorers = by_name([replace(scorer, measure=edited) for scorer in Mine.scorers.values()])
    assert key_of(engine) != before
