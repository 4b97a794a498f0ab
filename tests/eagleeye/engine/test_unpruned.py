"""Outputs of the unpruned network: the same whether they are kept or computed again, in whatever parts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import eagleeye
from benchmarks.scene_networks import Heads
from eagleeye.engine import unpruned
from eagleeye.engine.unpruned import Unpruned
from eagleeye.task.named import TASKS
from tests.eagleeye.task.networks import scenes, trained

CPU = torch.device("cpu")
ALL = torch.arange(24.0).reshape(12, 2)


class Counting:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> dict[str, list[Tensor]]:
        self.asked.append((start, stop))
        return {"a": [ALL[start:stop], -ALL[start:stop]]}


def test_outputs_that_fit_are_computed_once_in_whole_chunks() -> None:
    compute = Counting()
    known = Unpruned(compute, 12, CPU)
    known.prepare(3, chunk=4)
    known.prepare(7, chunk=4)
    known.prepare(12, chunk=4)
    assert compute.asked == [(0, 4), (4, 8), (8, 12)]
    first, second = known.between(2, 9)["a"]
    assert torch.equal(first, ALL[2:9])
    assert torch.equal(second, -ALL[2:9])
    assert compute.asked == [(0, 4), (4, 8), (8, 12)]


def test_outputs_that_do_not_fit_are_computed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpruned, "MEMORY_SHARE", 0.0)
    compute = Counting()
    known = Unpruned(compute, 12, CPU)
    known.prepare(12, chunk=4)
    assert compute.asked == [(0, 4)]
    assert torch.equal(known.between(4, 8)["a"][0], ALL[4:8])
    assert compute.asked == [(0, 4), (4, 8)]


def test_scores_are_the_same_whether_outputs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = trained(Heads), scenes().images
    space = eagleeye.trace(model, images[:1])
    shell = eagleeye.Shell(space, eagleeye.Budget(macs=0.5, tolerance=0.02), max_rate=0.9)
    strategies = eagleeye.sampler("uniform")(shell, count=3, seed=0)
    found = []
    for share in (unpruned.MEMORY_SHARE, 0.0):
        monkeypatch.setattr(unpruned, "MEMORY_SHARE", share)
        engine = eagleeye.Engine(model, space, images[:64], images[64:200], task=TASKS["fidelity"], lanes=2)
        found.append(eagleeye.search(engine, strategies))
    columns = ["id", "distance", "similarity", "score_low", "beats_next"]
    assert found[0][columns].equals(found[1][columns])
