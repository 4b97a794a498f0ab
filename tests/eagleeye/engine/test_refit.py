"""Refitted candidates in the engine: the tensors of the network that `prune` makes, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.engine import Engine, Method
from eagleeye.engine.slot import Slot
from eagleeye.errors import ConfigError
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import SUB_VALIDATION, make_setting

KINDS = [kind for kind in networks.CONSTRUCTS if any(isinstance(m, nn.BatchNorm2d) for m in kind().modules())]


@pytest.mark.parametrize("criterion", ["l1", "obs"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_refitted_candidate_is_the_pruned_network(kind: type[nn.Module], criterion: str) -> None:
    setting = make_setting(kind())
    found = eagleeye.reconstruct(setting.network, setting.space, setting.calibration)
    order = found.order if criterion == "obs" else eagleeye.criterion("l1")
    method = Method(precision="float32", criterion=order, refit=found)
    engine = Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=method)
    slot = Slot(engine.parent)
    for strategy in (*setting.strategies, setting.strategies[0]):
        slot.fill(strategy.widths)
        thin = eagleeye.prune(setting.network, setting.space, strategy, criterion=order, refit=found)
        wanted, filled = thin.state_dict(), slot.network.state_dict()
        # Layers before the first that loses channels are run apart.
        assert filled.keys() <= wanted.keys()
        for name, tensor in filled.items():
            assert torch.equal(tensor, wanted[name]), name
        eagleeye.adapt_batch_norm(thin, setting.calibration)
        score, told = eagleeye.evaluate(thin, setting.sub_validation), engine.score(strategy).score
        assert abs(score.accuracy - told.accuracy) <= 1 / SUB_VALIDATION
        assert told.loss == pytest.approx(score.loss, rel=1e-3)


def test_by_default_candidates_are_those_of_second_order_importance_and_refitted() -> None:
    setting = make_setting(networks.Residual())
    engine = Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, lanes=1)
    found = eagleeye.reconstruct(setting.network, setting.space, setting.calibration)
    widths = [max(1, width // 2) for width in setting.space.channels]
    rates = [1 - width / full for width, full in zip(widths, setting.space.channels, strict=True)]
    wanted = eagleeye.prune(setting.network, setting.space, rates, criterion=found.order, refit=found)
    eagleeye.adapt_batch_norm(wanted, setting.calibration)
    network = engine.network(widths)
    assert all(torch.allclose(tensor, wanted.state_dict()[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", [networks.Residual, networks.Depthwise], ids=lambda kind: kind.__name__)
def test_a_candidate_refitted_in_turn_is_the_pruned_network(kind: type[nn.Module]) -> None:
    setting = make_setting(kind())
    engine = Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, lanes=1)
    images = setting.calibration.part(0, 64)
    strategy, method = setting.strategies[0], engine.method
    network = engine.network(strategy, in_turn=images)
    wanted = eagleeye.prune(
        setting.network, setting.space, strategy, criterion=method.criterion, refit=method.refit, in_turn=images
    )
    eagleeye.adapt_batch_norm(wanted, setting.calibration)
    for name, tensor in wanted.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(network.state_dict()[name], tensor), name
    once = engine.network(strategy).state_dict()
    assert any(not torch.equal(tensor, once[name]) for name, tensor in network.state_dict().items())
    plain = Engine(setting.network, setting.space, setting.calibration, setting.sub_validation, method=Method())
    with pytest.raises(ConfigError, match="in_turn: candidates are not refitted"):
        plain.network(strategy, in_turn=images)
