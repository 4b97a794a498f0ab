"""What is measured on: CIFAR-10 with trained ResNets where the shared data is at hand, the digits otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.data import Batches, Images, ImageSet, Preprocess, decode, draw_subset, open_source
from eagleeye.models import build, load_checkpoint, save_checkpoint
from eagleeye.reconstruction import Reconstruction
from eagleeye.train import Recipe, open_training, train
from eagleeye.train.run import State

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
MEASURED = 512
"""Calibration images on which activations are measured."""
CACHE = Path(__file__).parent / ".cache"
"""Networks that were trained here; not committed."""
SEPARABLE = "cifar10_mobilenet"
"""MobileNetV1 of a quarter of the width: with depthwise convolutions, trained where it is first asked for."""
IMAGENET = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Subject:
    """A trained network with the images that score its candidates."""

    name: str
    network: nn.Module
    preprocess: Preprocess
    images: ImageSet
    """The training images, encoded."""
    rows: tuple[list[int], list[int]]
    """Which of them are for calibration and for sub-validation."""
    test: ImageSet
    """The test images, encoded."""

    @cached_property
    def calibration(self) -> Images:
        """Decoded calibration images."""
        return decode(self.images, self.rows[0], self.preprocess)

    @cached_property
    def sub_validation(self) -> Images:
        """Decoded sub-validation images."""
        return decode(self.images, self.rows[1], self.preprocess)

    @cached_property
    def space(self) -> eagleeye.Space:
        """The network's search space."""
        return eagleeye.trace(self.network, torch.zeros(1, *self.calibration.pixels.shape[1:]))

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """What the network's layers read on some calibration images."""
        return eagleeye.reconstruct(self.network, self.space, self.measured.split(128))

    @cached_property
    def measured(self) -> Tensor:
        """The calibration images on which they are measured, normalised."""
        batches: Any = Batches(self.calibration, self.preprocess, batch_size=128, device="cpu", labelled=False)
        return torch.cat(list(batches.first(MEASURED)))

    def candidates(
        self, count: int, macs: float = 0.5, max_rate: float = 0.7, seed: int = 0
    ) -> list[eagleeye.Strategy]:
        """Strategies at a fraction of the MACs, always the same ones."""
        return eagleeye.sample(self.space, eagleeye.Budget(macs=macs), count=count, max_rate=max_rate, seed=seed)


def names() -> list[str]:
    """The subjects of this machine whose weights are at hand: `SEPARABLE` has to be trained first."""
    return ["cifar10_resnet20", "cifar10_resnet56"] if SHARED.is_dir() else ["digits_resnet20"]


def open_subject(name: str) -> Subject:
    """A subject by name."""
    return _digits() if name.startswith("digits") else _cifar(name)


def _cifar(name: str) -> Subject:
    images, test = open_source(
        "parquet", train=str(SHARED / "cifar10/train-*.parquet"), test=str(SHARED / "cifar10/test-*.parquet")
    )
    subset = draw_subset(images.labels, calibration=1 / 30, sub_validation=5000, seed=0)
    rows = (subset.calibration.tolist(), subset.sub_validation.tolist())
    if name == SEPARABLE:
        network = _separable(images, rows[1])
    else:
        network = build(name.replace("cifar10", "cifar"), num_classes=10)
        load_checkpoint(network, SHARED / "checkpoints" / f"{name}.safetensors")
    return Subject(name, network.eval(), IMAGENET, images, rows, test)


def _separable(images: ImageSet, held: list[int]) -> nn.Module:
    """The network with depthwise convolutions; its best epoch is chosen on the sub-validation images."""
    path = CACHE / f"{SEPARABLE}.safetensors"
    torch.manual_seed(0)
    network = build("mobilenet_v1_cifar", num_classes=10, width=0.25)
    if not path.is_file():
        recipe = Recipe(epochs=30, lr=0.1, mixed_precision=False)  # float32 is as fast for layers this narrow
        rows = np.setdiff1d(np.arange(len(images)), held)
        data = open_training(images, rows.tolist(), IMAGENET, recipe, device=torch.device("cpu"))
        validation = Batches(decode(images, held, IMAGENET), IMAGENET, batch_size=128, device="cpu", labelled=True)
        train(network, data, validation, recipe, device="cpu", on_epoch=_told)
        CACHE.mkdir(exist_ok=True)
        save_checkpoint(network, path)
    load_checkpoint(network, path)
    return network


def _told(state: State) -> None:
    epoch = state["history"][-1]
    print(f"{SEPARABLE}, epoch {epoch['epoch']}: {epoch['validation_accuracy']:.1%}", flush=True)


def _digits() -> Subject:
    images, test = open_source("digits")
    shape = Preprocess(size=16, mean=(0.305,) * 3, std=(0.376,) * 3)
    subset = draw_subset(images.labels, calibration=100, sub_validation=400, seed=0)
    torch.manual_seed(0)
    network = build("cifar_resnet20", num_classes=10)
    recipe = Recipe(epochs=6, batch_size=64, lr=0.1, augment="shift", mixed_precision=False)
    rows = np.setdiff1d(np.arange(len(images)), subset.sub_validation)
    data = open_training(images, rows.tolist(), shape, recipe, device=torch.device("cpu"))
    parts = (subset.calibration.tolist(), subset.sub_validation.tolist())
    subject = Subject("digits_resnet20", network, shape, images, parts, test)
    held = subject.sub_validation
    train(network, data, [((held.pixels / 255 - 0.305) / 0.376, held.labels)], recipe, device="cpu")
    return subject
