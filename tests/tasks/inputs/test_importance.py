"""The stages with channels ranked and layers refitted by activations: the same networks as the library makes."""

from __future__ import annotations

import pytest
import torch

import eagleeye
from eagleeye.data import Batches
from eagleeye.errors import ConfigError
from eagleeye.forward.cores import one_thread
from eagleeye.reconstruction import in_turn
from tasks.artifacts import ALLOCATED, RANKING, SCOREBOOK, STRATEGIES, read_table
from tasks.inputs.evaluator import _open, open_evaluator, scoring_key
from tasks.inputs.images import preprocess
from tasks.inputs.importance import BATCH, batch_in_turn
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import Search, run_stage

MEASURED = {"importance.criterion": "obs", "importance.refit": True, "strategies.allocated": True}


@pytest.fixture
def measured(search: Search) -> Params:
    """The settings of a search that measures activations, its candidates scored and ranked."""
    override(search.folder / "params.yaml", MEASURED)
    params = read_params(search.folder / "params.yaml")
    for stage in ("strategies", "evaluate", "rank"):
        run_stage(stage, params)
    return params


def test_candidates_are_refitted_and_allocated_ones_compete(measured: Params) -> None:
    table, ranking = read_table(STRATEGIES), read_table(RANKING)
    allocated = table[table["origin"] == ALLOCATED]
    assert "even-filled" in set(allocated["id"])
    assert any(name.startswith("allocated-") for name in allocated["id"])
    assert (allocated["macs_fraction"] <= measured.strategies.budget.macs).all()
    assert not ranking[ranking["origin"] == ALLOCATED]["rank"].isna().any()

    evaluator = open_evaluator(measured, scoring_key(measured))
    calibration = evaluator.engine.calibration
    images = Batches(
        eagleeye.data.Images(calibration.pixels, calibration.labels),
        preprocess(measured), batch_size=BATCH, device="cpu", labelled=False,
    )  # fmt: skip
    strategy = tuple(map(float, allocated["rates"].iloc[0]))
    with one_thread():
        found = eagleeye.reconstruct(evaluator.network, evaluator.space, images.first(measured.importance.images))
        wanted = eagleeye.prune(
            evaluator.network, evaluator.space, strategy, criterion=found.order, refit=found
        ).state_dict()
        pruned = evaluator.prune(strategy).state_dict()
    for name, tensor in wanted.items():
        assert torch.equal(pruned[name], tensor), name
    plain = eagleeye.prune(evaluator.network, evaluator.space, strategy).state_dict()
    assert any(not torch.equal(plain[name], tensor) for name, tensor in wanted.items())


def test_scores_are_the_same_bits_on_any_number_of_threads(measured: Params) -> None:
    first, threads = read_table(RANKING), torch.get_num_threads()
    # Nothing is known any more: everything is measured and scored anew.
    SCOREBOOK.unlink()
    _open.cache_clear()
    torch.set_num_threads(3 - threads)
    try:
        run_stage("evaluate", measured)
        run_stage("rank", measured)
    finally:
        torch.set_num_threads(threads)
    again = read_table(RANKING)
    assert first["id"].tolist() == again["id"].tolist()
    assert first["loss"].tolist() == again["loss"].tolist()


def test_widths_are_allocated_by_measured_errors_alone(search: Search) -> None:
    override(search.folder / "params.yaml", {"importance.criterion": "obs", "strategies.allocated": True})
    with pytest.raises(ConfigError, match=r"strategies\.allocated is true, but importance\.criterion is l1"):
        override(search.folder / "params.yaml", {"importance.criterion": "l1"})
        read_params(search.folder / "params.yaml")


def test_what_is_fine_tuned_is_refitted_in_turn_and_scores_stay(
    measured: Params, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = open_evaluator(measured, scoring_key(measured))
    override(search.folder / "params.yaml", {"importance.refit": "in_turn"})
    params = read_params(search.folder / "params.yaml")
    evaluator = open_evaluator(params, scoring_key(params))
    calibration, method = evaluator.engine.calibration, evaluator.engine.method
    wide = tuple(map(float, read_table(STRATEGIES)["rates"].iloc[0]))
    count = min(params.importance.images, len(calibration.labels))
    assert batch_in_turn(measured, calibration) is None
    images = batch_in_turn(params, calibration)
    assert images is not None
    assert torch.equal(images, torch.cat(list(calibration.first(count))))
    with one_thread():
        pruned = evaluator.prune(wide).state_dict()
        wanted = eagleeye.prune(
            evaluator.network, evaluator.space, wide, criterion=method.criterion, refit=method.refit, in_turn=images
        ).state_dict()
        before = once.prune(wide).state_dict()
    assert all(torch.equal(pruned[name], tensor) for name, tensor in wanted.items())
    assert any(not torch.equal(before[name], tensor) for name, tensor in wanted.items())
    widths = evaluator.space.widths_of(wide)
    assert evaluator.engine.score(widths).score == once.engine.score(widths).score
    # As many as may be in memory together, at least one.
    pixels = images.shape[-2] * images.shape[-1]
    for limit, left in ((3 * pixels + 1, 3), (1, 1)):
        monkeypatch.setattr(in_turn, "PIXELS", limit)
        assert torch.equal(batch_in_turn(params, calibration), images[:left])
