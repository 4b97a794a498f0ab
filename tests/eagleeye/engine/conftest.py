"""Small networks with images, and what scores them the plain way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.data import Batches, Images, Preprocess
from eagleeye.engine import Engine
from eagleeye.engine.slot import Slot
from tests.eagleeye import networks

SHAPE = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
CALIBRATION, SUB_VALIDATION, BATCH = 24, 50, 8


@dataclass(frozen=True)
class Setting:
    """A network with its space and images."""

    network: nn.Module
    space: eagleeye.Space
    calibration: Batches[Tensor]
    sub_validation: Batches[tuple[Tensor, Tensor]]
    strategies: list[eagleeye.Strategy]

    def plain(
        self, strategy: eagleeye.Strategy, calibration: int = CALIBRATION, sub_validation: int = SUB_VALIDATION
    ) -> eagleeye.Score:
        """The score, one step after another: a network of its own, adaptive BN, evaluation."""
        thin = eagleeye.prune(self.network, self.space, strategy)
        eagleeye.adapt_batch_norm(thin, self.calibration.first(calibration))
        return eagleeye.evaluate(thin, self.sub_validation.first(sub_validation))


def images(count: int, seed: int, size: int = 12) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, 5, (count,), generator=generator))


def make_setting(network: nn.Module, count: int = 3, exclude: tuple[str, ...] = ()) -> Setting:
    torch.manual_seed(0)
    network = networks.lively(network).eval()
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12), exclude=exclude)
    budget = eagleeye.Budget(macs=0.6, tolerance=0.25)
    strategies = eagleeye.sample(space, budget, count=count, max_rate=0.8, seed=0)
    calibration = Batches(images(CALIBRATION, 1), SHAPE, batch_size=BATCH, device="cpu", labelled=False)
    sub_validation = Batches(images(SUB_VALIDATION, 2), SHAPE, batch_size=BATCH, device="cpu", labelled=True)
    return Setting(network, space, calibration, sub_validation, strategies)


@pytest.fixture
def setting() -> Setting:
    return make_setting(networks.Residual())


def cramped(engine: Engine, room: int) -> None:
    """Put the engine on a device that holds the activations of so many images only."""
    slot = Slot(engine.parent)
    for network in (slot.network, slot.folded):
        network.forward = crowded(network.forward, room)
    engine._slots.get()
    engine._slots.put(slot)


def crowded(forward: Callable[[Tensor], Tensor], room: int) -> Callable[[Tensor], Tensor]:
    def attempt(x: Tensor) -> Tensor:
        if len(x) > room:
            raise torch.OutOfMemoryError("the device is full")
        return forward(x)

    return attempt
