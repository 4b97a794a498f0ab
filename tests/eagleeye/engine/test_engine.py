"""The engine against pruning, adapting and evaluating one step after another."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.engine import Engine, Method
from eagleeye.engine.parent import Parent
from eagleeye.engine.slot import Slot
from eagleeye.errors import EvaluationError, StrategyError
from eagleeye.models import build
from eagleeye.task import classification as scores
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import BATCH, CALIBRATION, SUB_VALIDATION, Setting, cramped, make_setting
from tests.eagleeye.unusual_layers import Frozen

EXACT = Method(precision="float32")
KINDS = [kind for kind in networks.CONSTRUCTS if any(isinstance(m, nn.BatchNorm2d) for m in kind().modules())]


def engine_of(setting: Setting, method: Method = EXACT, **options: object) -> Engine:
    return Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=method, **options)


def assert_close(found: eagleeye.Score, wanted: eagleeye.Score) -> None:
    # Folding changes the order of sums: a tie in float32 may fall the other way on one image.
    assert abs(found.accuracy - wanted.accuracy) <= 1 / SUB_VALIDATION
    assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


@pytest.mark.parametrize("kind", [*KINDS, Frozen], ids=lambda kind: kind.__name__)
def test_scores_are_those_of_networks_built_one_by_one(kind: type[nn.Module]) -> None:
    setting = make_setting(kind())
    engine = engine_of(setting)
    for strategy in setting.strategies:
        assert_close(engine.score(strategy).score, setting.plain(strategy))
    # Back to the first: nothing of the others is left in its place.
    assert_close(engine.score(setting.strategies[0]).score, setting.plain(setting.strategies[0]))


def test_a_filled_slot_has_the_tensors_of_the_pruned_network(setting: Setting) -> None:
    slot = Slot(engine_of(setting).parent)
    for strategy in setting.strategies:
        slot.fill(strategy.widths)
        wanted = eagleeye.prune(setting.network, setting.space, strategy).state_dict()
        found = slot.network.state_dict()
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor), name


def test_the_trained_network_is_left_alone(setting: Setting) -> None:
    before = {name: tensor.clone() for name, tensor in setting.network.state_dict().items()}
    engine = engine_of(setting)
    engine.score([group.channels for group in setting.space.groups], vanilla=True)
    engine.score(setting.strategies[0])
    for name, tensor in setting.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not setting.network.training


@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, Method(precision="bfloat16")) for kind in KINDS), (KINDS[0], EXACT), (KINDS[0], Method("paper", 5))],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{value.mode}-{value.precision}",
)
def test_a_candidates_network_is_that_pruned_and_recalibrated(kind: type[nn.Module], method: Method) -> None:
    setting = make_setting(kind())
    engine, strategy = engine_of(setting, method), setting.strategies[0]
    engine.score(setting.strategies[1])
    wanted = eagleeye.prune(setting.network, setting.space, strategy)
    eagleeye.adapt_batch_norm(wanted, setting.calibration, mode=method.mode, iterations=method.iterations)
    found = engine.network(strategy)
    assert_same(found, wanted)
    # It is its own: training it changes neither the engine nor the trained network.
    with torch.no_grad():
        for tensor in found.state_dict().values():
            tensor.zero_()
    assert_same(engine.network(strategy.widths), wanted)
    assert all(parameter.requires_grad for parameter in found.parameters())


def test_a_candidates_network_has_the_layers_that_are_set_apart() -> None:
    setting = make_setting(networks.Plain(), exclude=("a.*",))
    for precision in ("float32", "bfloat16"):
        engine, strategy = engine_of(setting, Method(precision=precision)), setting.strategies[0]
        assert engine._start is not None
        engine.score(strategy, vanilla=True)
        wanted = eagleeye.prune(setting.network, setting.space, strategy)
        eagleeye.adapt_batch_norm(wanted, setting.calibration)
        assert_same(engine.network(strategy), wanted)


def test_a_candidates_network_is_recalibrated_by_batches_that_fit(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, strategy = [], setting.strategies[0]
    engine = engine_of(setting, say=said.append)

    def crowded(network: nn.Module, batches: Iterable[torch.Tensor], **options: Any) -> None:
        batches = list(batches)
        if max(map(len, batches)) > BATCH // 2:
            raise torch.OutOfMemoryError("the device is full")
        eagleeye.adapt_batch_norm(network, batches, **options)

    monkeypatch.setattr("eagleeye.engine.engine.adapt_batch_norm", crowded)
    found = engine.network(strategy)
    wanted = eagleeye.prune(setting.network, setting.space, strategy)
    halves = [half for batch in setting.calibration for half in batch.split(BATCH // 2)]
    eagleeye.adapt_batch_norm(wanted, halves)
    assert_same(found, wanted)
    assert len(said) == 1


def assert_same(found: nn.Module, wanted: nn.Module) -> None:
    tensors = wanted.state_dict()
    assert found.state_dict().keys() == tensors.keys()
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-5, atol=1e-5)


def test_vanilla_scores_have_the_trained_statistics(setting: Setting) -> None:
    strategy = setting.strategies[1]
    found = engine_of(setting).score(strategy, vanilla=True)
    thin = eagleeye.prune(setting.network, setting.space, strategy)
    assert found.vanilla is not None
    assert_close(found.vanilla, eagleeye.evaluate(thin, setting.sub_validation))
    assert_close(found.score, setting.plain(strategy))


@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: kind.__name__)
def test_candidates_are_compared_with_the_unpruned_network(kind: type[nn.Module]) -> None:
    setting = make_setting(kind())
    strategy, (inputs, _) = setting.strategies[0], setting.sub_validation.part(0, SUB_VALIDATION)
    engine = engine_of(setting, lanes=1)
    engine.chunk = 16
    found = engine.score(strategy, sub_validation=40, vanilla=True)
    with torch.no_grad():
        full = setting.network(inputs)
    torch.testing.assert_close(engine.full_outputs(), full, rtol=1e-3, atol=1e-3)
    thin = eagleeye.prune(setting.network, setting.space, strategy)
    for predictions, adapted in ((found.vanilla_predictions, False), (found.predictions, True)):
        if adapted:
            eagleeye.adapt_batch_norm(thin, setting.calibration)
        with torch.no_grad():
            outputs = thin(inputs)
        assert len(predictions.columns["agreement"]) == 40
        assert (predictions.columns["agreement"] != scores.agreement(outputs, full)[:40].numpy()).sum() <= 1
        wanted = scores.divergence(outputs, full)[:40].numpy()
        np.testing.assert_allclose(predictions.columns["divergence"], wanted, rtol=1e-2, atol=1e-3)


def test_the_unpruned_network_does_not_diverge_from_itself(setting: Setting) -> None:
    engine = engine_of(setting, Method(precision="bfloat16"))
    whole = engine.score([group.channels for group in setting.space.groups], vanilla=True)
    assert whole.vanilla_predictions.columns["agreement"].all()
    assert whole.vanilla_predictions.columns["divergence"].max() < 1e-9
    assert whole.predictions.columns["divergence"].max() > 1e-6


def test_the_unpruned_networks_outputs_do_not_depend_on_how_many_were_asked_for_first(setting: Setting) -> None:
    engines = [engine_of(setting) for _ in range(2)]
    for engine in engines:
        engine.chunk = 16
    grown = [engines[0].full_outputs(images) for images in (20, 3, 40, SUB_VALIDATION)]
    assert [len(found) for found in grown] == [20, 3, 40, SUB_VALIDATION]
    whole = engines[1].full_outputs()
    assert all(torch.equal(found, whole[: len(found)]) for found in grown)


@pytest.mark.parametrize("mode", ["reset", "paper"])
def test_a_layer_called_twice_has_the_statistics_that_adapt_batch_norm_gives(mode: str) -> None:
    setting = make_setting(networks.Twice())
    strategy = setting.strategies[0]
    found = engine_of(setting, Method(mode, 5 if mode == "paper" else None, "float32")).score(strategy).statistics
    thin = eagleeye.prune(setting.network, setting.space, strategy)
    eagleeye.adapt_batch_norm(thin, setting.calibration, mode=mode, iterations=5 if mode == "paper" else None)
    wanted = [t for m in thin.modules() if isinstance(m, nn.BatchNorm2d) for t in (m.running_mean, m.running_var)]
    assert torch.equal(found, torch.cat(wanted))


def test_fewer_images_are_the_first_ones(setting: Setting) -> None:
    strategy = setting.strategies[0]
    outcome = engine_of(setting).score(strategy, calibration=16, sub_validation=30)
    assert_close(outcome.score, setting.plain(strategy, 16, 30))
    assert len(outcome.correct) == 30
    assert outcome.correct.mean() == outcome.score.accuracy


def test_statistics_of_more_images_than_wanted_are_left_aside(setting: Setting) -> None:
    engine, strategy = engine_of(setting), setting.strategies[1]
    whole = engine.score(strategy)
    fewer = engine.score(strategy, calibration=16)
    assert engine.score(strategy, calibration=16, begun=(CALIBRATION, whole.statistics)).score == fewer.score
    assert fewer.score != whole.score


def test_several_candidates_that_meet_a_limit_halve_the_batch_once(setting: Setting) -> None:
    engine, said = engine_of(setting), []
    engine.say = said.append
    for _ in range(3):
        engine._halve_calibration(BATCH)
    assert (engine.calibration.batch_size, len(said)) == (BATCH // 2, 1)


@pytest.mark.parametrize("kind", [networks.Residual, networks.Twice])
def test_going_on_gives_the_same_bits_as_starting_anew(kind: type[nn.Module]) -> None:
    setting = make_setting(kind())
    engine, strategy = engine_of(setting), setting.strategies[2]
    first = engine.score(strategy, calibration=16, sub_validation=20)
    engine.score(setting.strategies[0])
    on = engine.score(strategy, begun=(16, first.statistics))
    anew = engine.score(strategy)
    assert on.score == anew.score
    assert torch.equal(on.statistics, anew.statistics)
    assert np.array_equal(on.correct, anew.correct)


def test_the_published_protocol_is_that_of_adapt_batch_norm(setting: Setting) -> None:
    strategy = setting.strategies[0]
    found = engine_of(setting, Method("paper", 7, "float32")).score(strategy)
    thin = eagleeye.prune(setting.network, setting.space, strategy)
    eagleeye.adapt_batch_norm(thin, setting.calibration, mode="paper", iterations=7)
    assert_close(found.score, eagleeye.evaluate(thin, setting.sub_validation))


def test_threads_and_lanes_do_not_change_a_bit(setting: Setting) -> None:
    alone = [engine_of(setting, lanes=1).score(strategy) for strategy in setting.strategies]
    shared = engine_of(setting, lanes=2)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.score, setting.strategies * 3))
    for outcome, wanted in zip(found, alone * 3, strict=True):
        assert outcome.score == wanted.score
        assert torch.equal(outcome.statistics, wanted.statistics)


def test_sixteen_bits_stay_near(setting: Setting) -> None:
    engine = engine_of(setting, Method(precision="bfloat16"))
    for strategy in setting.strategies:
        assert engine.score(strategy).score.loss == pytest.approx(setting.plain(strategy).loss, rel=0.05)


def test_a_small_device_halves_the_chunk_says_so_and_changes_no_prediction(setting: Setting) -> None:
    wanted, said = engine_of(setting).score(setting.strategies[0]), []
    engine = engine_of(setting, lanes=1, say=said.append)
    engine.chunk = 40
    cramped(engine, BATCH)
    found = engine.score(setting.strategies[0])
    assert found.score.loss == pytest.approx(wanted.score.loss, rel=1e-6)
    assert np.array_equal(found.correct, wanted.correct)
    assert engine.chunk == 5
    assert [line.split(":")[1].split(" sub")[0] for line in said] == [" 40 → 20", " 20 → 10", " 10 → 5"]


def test_a_smaller_device_halves_the_calibration_batch_and_says_what_that_means(setting: Setting) -> None:
    said: list[str] = []
    engine = engine_of(setting, lanes=1, say=said.append)
    engine.chunk = 4
    cramped(engine, BATCH // 2)
    found = engine.score(setting.strategies[0])
    thin = eagleeye.prune(setting.network, setting.space, setting.strategies[0])
    halves = [batch for whole in setting.calibration for batch in whole.split(BATCH // 2)]
    eagleeye.adapt_batch_norm(thin, halves)
    assert_close(found.score, eagleeye.evaluate(thin, setting.sub_validation))
    assert "8 → 4 calibration images per batch" in said[0]
    assert setting.calibration.batch_size == BATCH


def test_a_device_without_room_for_one_image_is_an_error(setting: Setting) -> None:
    engine = engine_of(setting, lanes=1)
    cramped(engine, 0)
    with pytest.raises(EvaluationError, match="does not hold one image"):
        engine.score(setting.strategies[0])


def test_widths_that_do_not_fit_are_refused_and_the_lane_is_given_back(setting: Setting) -> None:
    engine = engine_of(setting, lanes=1)
    for _ in range(2):
        with pytest.raises(StrategyError, match="groups"):
            engine.score([1])
    assert len(engine.score(setting.strategies[0]).correct) == SUB_VALIDATION


def test_memory_does_not_grow_with_the_candidates(setting: Setting) -> None:
    engine = engine_of(setting, lanes=2)
    for strategy in setting.strategies:
        engine.score(strategy)
    assert engine._slots.qsize() == 2


@pytest.mark.slow
def test_a_candidate_of_resnet56_is_ready_in_ten_milliseconds() -> None:
    torch.manual_seed(0)
    network = build("cifar_resnet56", num_classes=10).eval()
    space = eagleeye.trace(network, torch.randn(1, 3, 32, 32))
    strategies = eagleeye.sample(space, eagleeye.Budget(macs=0.5), count=10, max_rate=0.7, seed=0)
    slot = Slot(Parent(network, space), dtype=torch.bfloat16)
    times = []
    for strategy in strategies:
        started = time.process_time()  # other work on the machine does not count
        slot.fill(strategy.widths)
        times.append(time.process_time() - started)
    assert min(times) < 0.01


def test_a_calibration_of_fewer_images_than_asked_for_takes_what_there_is(setting: Setting) -> None:
    strategy = setting.strategies[0]
    engine = engine_of(setting)
    assert (
        engine.score(strategy, calibration=10 * CALIBRATION, sub_validation=10**6).score == engine.score(strategy).score
    )
