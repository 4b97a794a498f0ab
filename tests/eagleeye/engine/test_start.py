"""First layers run once for all candidates: the same scores as with every layer run every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.engine import Engine, Method, start
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import BATCH, CALIBRATION, SUB_VALIDATION, Setting, cramped, make_setting

EXACT = Method(precision="float32")


def engine_of(setting: Setting, **options: object) -> Engine:
    return Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=EXACT, **options)


@pytest.fixture
def partly() -> Setting:
    """A network whose first layers are not to be pruned."""
    return make_setting(networks.Plain(), exclude=("a.*",))


def test_untouched_first_layers_are_set_apart(partly: Setting) -> None:
    engine = engine_of(partly)
    assert engine._start is not None
    assert {name.split(".")[0] for name, _ in engine.parent.full.named_parameters()} == {"b", "head"}
    assert engine_of(make_setting(networks.Plain()))._start is None


def test_scores_are_the_same_as_without(partly: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = engine_of(partly)
    monkeypatch.setattr(start, "MEMORY_SHARE", 0.0)
    whole = engine_of(partly)
    assert whole._start is None
    for strategy in partly.strategies:
        # Out of order, with a part of a batch at the end, and back again.
        for calibration, images in ((CALIBRATION, SUB_VALIDATION), (8, 20), (13, 7), (CALIBRATION, SUB_VALIDATION)):
            options = {"calibration": calibration, "sub_validation": images, "vanilla": True}
            found, wanted = shared.score(strategy, **options), whole.score(strategy, **options)
            assert np.array_equal(found.correct, wanted.correct)
            assert found.score.loss == pytest.approx(wanted.score.loss, rel=1e-6)
            assert found.vanilla.loss == pytest.approx(wanted.vanilla.loss, rel=1e-6)
    plain = partly.plain(partly.strategies[0])
    assert shared.score(partly.strategies[0]).score.loss == pytest.approx(plain.loss, rel=1e-4)


@pytest.mark.parametrize("vanilla", [False, True])
def test_the_layers_run_once_per_image(partly: Setting, vanilla: bool) -> None:
    engine, seen = engine_of(partly), []
    for network in (engine._start._layers.network, engine._start._layers.folded):
        network.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    engine.chunk = 16
    for strategy in partly.strategies:
        engine.score(strategy, vanilla=vanilla)
    # With the trained network's own statistics for what candidates are compared with, and for vanilla scores.
    assert sum(seen) == CALIBRATION + 2 * SUB_VALIDATION


def test_going_on_and_threads_do_not_change_a_bit(partly: Setting) -> None:
    alone = [engine_of(partly, lanes=1).score(strategy) for strategy in partly.strategies]
    engine = engine_of(partly, lanes=3)
    first = [engine.score(strategy, calibration=16, sub_validation=20) for strategy in partly.strategies]
    with ThreadPoolExecutor(3) as pool:
        begun = [(16, outcome.statistics) for outcome in first]
        found = list(pool.map(lambda s, b: engine.score(s, begun=b), partly.strategies, begun))
    for outcome, wanted in zip(found, alone, strict=True):
        assert outcome.score == wanted.score
        assert torch.equal(outcome.statistics, wanted.statistics)


class InPlace(nn.Module):
    """What follows the layers set apart writes into their output."""

    def __init__(self) -> None:
        super().__init__()
        self.a = networks.conv_bn(3, 8)
        self.inner, self.outer, self.head = networks.conv_bn(8, 6), networks.conv_bn(6, 8), networks.Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.head(x.add_(self.outer(self.inner(x))))


def test_what_follows_may_compute_in_place() -> None:
    setting = make_setting(InPlace(), exclude=("a.*", "outer.*"))
    engine = engine_of(setting)
    assert engine._start is not None
    for _ in range(2):
        for strategy in setting.strategies:
            found = engine.score(strategy, vanilla=True).score
            assert found.loss == pytest.approx(setting.plain(strategy).loss, rel=1e-4)


def test_a_full_device_regroups_the_calibration_images() -> None:
    setting = make_setting(networks.Plain(), exclude=("a.*",))
    engine, said = engine_of(setting, lanes=1), []
    engine.say = said.append
    engine.chunk = BATCH // 2
    cramped(engine, BATCH // 2)
    found = engine.score(setting.strategies[0]).score
    thin = eagleeye.prune(setting.network, setting.space, setting.strategies[0])
    eagleeye.adapt_batch_norm(thin, [half for whole in setting.calibration for half in whole.split(BATCH // 2)])
    assert found.loss == pytest.approx(eagleeye.evaluate(thin, setting.sub_validation).loss, rel=1e-4)
    assert len(said) == 1


def test_layers_without_batch_norm_are_set_apart_as_well() -> None:
    setting = make_setting(networks.Plain(), exclude=("a.*",))
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1), setting.network)
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12), exclude=("0", "1.a.*"))
    engine = Engine(network, space, setting.calibration, setting.sub_validation, method=EXACT)
    strategy = eagleeye.sample(space, eagleeye.Budget(macs=0.9, tolerance=0.2), count=1, max_rate=0.8, seed=0)[0]
    thin = eagleeye.prune(network, space, strategy)
    eagleeye.adapt_batch_norm(thin, setting.calibration)
    wanted = eagleeye.evaluate(thin, setting.sub_validation)
    assert engine.score(strategy).score.loss == pytest.approx(wanted.loss, rel=1e-4)
