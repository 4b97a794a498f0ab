"""What is measured on: CIFAR-10 with a trained ResNet-20 where the shared data is at hand, the digits otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from eagleeye.data import Images, Preprocess, decode, draw_subset, open_source
from eagleeye.models import build, load_checkpoint
from eagleeye.train import Recipe, open_training, train

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Subject:
    """A trained network with its calibration and sub-validation images."""

    name: str
    network: nn.Module
    preprocess: Preprocess
    calibration: Images
    sub_validation: Images


def open_subject() -> Subject:
    """The subject of this machine."""
    return _cifar() if SHARED.is_dir() else _digits()


def _cifar() -> Subject:
    images, _ = open_source(
        "parquet", train=str(SHARED / "cifar10/train-*.parquet"), test=str(SHARED / "cifar10/test-*.parquet")
    )
    network = build("cifar_resnet20", num_classes=10)
    load_checkpoint(network, SHARED / "checkpoints" / "cifar10_resnet20.safetensors")
    subset = draw_subset(images.labels, calibration=1 / 30, sub_validation=2000, seed=0)
    shape = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return Subject(
        "CIFAR-10, ResNet-20",
        network.eval(),
        shape,
        decode(images, subset.calibration.tolist(), shape),
        decode(images, subset.sub_validation.tolist(), shape),
    )


def _digits() -> Subject:
    images, _ = open_source("digits")
    shape = Preprocess(size=16, mean=(0.305,) * 3, std=(0.376,) * 3)
    subset = draw_subset(images.labels, calibration=100, sub_validation=300, seed=0)
    calibration, sub_validation = (
        decode(images, rows.tolist(), shape) for rows in (subset.calibration, subset.sub_validation)
    )
    torch.manual_seed(0)
    network = build("cifar_resnet20", num_classes=10)
    recipe = Recipe(epochs=6, batch_size=64, lr=0.1, augment="shift", mixed_precision=False)
    rows = np.setdiff1d(np.arange(len(images)), subset.sub_validation)
    data = open_training(images, rows.tolist(), shape, recipe, device=torch.device("cpu"))
    validation = [((sub_validation.pixels / 255 - 0.305) / 0.376, sub_validation.labels)]
    train(network, data, validation, recipe, device="cpu")
    return Subject("digits, ResNet-20", network, shape, calibration, sub_validation)
