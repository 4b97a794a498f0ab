"""A word on how long the rest of a run takes: from what a forward pass takes, without a trace in the run itself."""

import json

import pytest
import torch

from tasks.ahead import rough
from tasks.artifacts import COUNTS
from tests.tasks.conftest import Search, changed


def test_the_rest_is_counted_from_the_stage_on(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rough, "_forward", lambda *_: 0.01)
    monkeypatch.setattr(rough, "_decoded", lambda *_: (None, 0.0))
    assert json.loads(COUNTS.read_text()) == {"train": 1437, "test": 360}
    settings = {"epochs": 10, "batch_size": 115, "distillation": 0.0}
    params = changed(search.params, finetune=settings, strategies={"even": True, "budget": _quarter(search)})
    line = rough.rest("finetune", params, start=0.0)
    assert line is not None
    # Three networks with half of the time of the unpruned one, 10 epochs of 1,150 images back and forth and 287 forth;
    # 360 test images, and the unpruned network on them; 48 images that recalibrate; the exports.
    seconds = 3 * (0.005 * (10 * (3 * 1150 + 287) + 360 + 48) + rough.EXPORT) + 0.01 * 360
    found = float(line.partition("(finetune ")[2].partition(" min")[0])
    assert found == pytest.approx(seconds / 60, abs=0.1)
    assert line.startswith("finetune: from here to the report roughly ")
    assert "baseline" not in line
    whole = rough.rest("baseline", params, start=0.0)
    assert whole is not None
    assert "(baseline " in whole


def _quarter(search: Search) -> object:
    return search.params.strategies.budget.model_copy(update={"macs": 0.25})


def test_it_takes_no_random_numbers_from_the_stage(search: Search) -> None:
    before = torch.random.get_rng_state()
    assert rough.rest("evaluate", search.params, start=0.0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_nothing_is_said_where_nobody_has_counted_the_images(search: Search) -> None:
    COUNTS.unlink()
    assert rough.rest("evaluate", search.params, start=0.0) is None
