"""Three ways to score candidates: the published one, what a good engineer writes today, and the engine."""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

import eagleeye
from benchmarks.subjects import Subject
from eagleeye.data import Batches
from eagleeye.engine import Engine, Method
from eagleeye.scoring.racing import Rung
from eagleeye.search import FIRST

BATCH = 128
ITERATIONS = 100
SEEN = ITERATIONS * BATCH
"""Augmented images that a candidate's statistics are estimated on by the published protocol."""
LOADERS = 2

Row = dict[str, Any]
"""id, accuracy, images (all that went through the network), macs (all that were computed)."""


class Way(Protocol):
    """Scores candidates."""

    def score(self, strategies: Sequence[eagleeye.Strategy]) -> list[Row]:
        """One row per candidate, with `seconds` where candidates are scored one at a time."""
        ...


class Published:
    """The protocol of 2020: images decoded and augmented in a DataLoader, 100 batches, momentum 0.1, one at a time.

    The scoring images are not augmented, which the published code does: that would be noise in what the others are
    compared with.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        side = subject.calibration.pixels.shape[-1]
        tensor = [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(subject.preprocess.mean, subject.preprocess.std),
        ]
        resize = [v2.Resize((side, side), antialias=True)] if subject.preprocess.size else []
        varied = [v2.RandomCrop(side, padding=side // 8), v2.RandomHorizontalFlip()]
        rows = subject.rows[0] + subject.rows[1]
        calibration = Encoded(subject, rows, v2.Compose([*resize, *varied, *tensor]))
        sampler = RandomSampler(calibration, replacement=True, num_samples=SEEN)
        options: dict[str, Any] = {"batch_size": BATCH, "num_workers": LOADERS, "persistent_workers": True}
        self.calibration = DataLoader(calibration, sampler=sampler, **options)
        self.sub_validation = DataLoader(Encoded(subject, subject.rows[1], v2.Compose([*resize, *tensor])), **options)

    def score(self, strategies: Sequence[eagleeye.Strategy]) -> list[Row]:
        """Score one candidate after another."""
        return [self._score(strategy) for strategy in strategies]

    def adapt(self, thin: nn.Module) -> None:
        """Move a candidate's statistics from the full network's; leaves it in evaluation mode."""
        with torch.no_grad():
            thin.train()
            for inputs, _ in self.calibration:
                thin(inputs)
        thin.eval()

    def _score(self, strategy: eagleeye.Strategy) -> Row:
        started = time.perf_counter()
        thin = eagleeye.prune(self.subject.network, self.subject.space, strategy)
        self.adapt(thin)
        with torch.no_grad():
            right = sum(int((thin(inputs).argmax(1) == labels).sum()) for inputs, labels in self.sub_validation)
        images = SEEN + len(self.subject.rows[1])
        seconds = time.perf_counter() - started
        return _row(strategy, right / len(self.subject.rows[1]), images, seconds)


class Plain:
    """Tensors in memory, statistics from scratch averaged over the calibration images, one candidate at a time.

    Torch-Pruning does not manage the CIFAR ResNets' shortcuts, so networks are pruned by this project here, too.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (subject.preprocess.mean, subject.preprocess.std))
        self.calibration = (subject.calibration.pixels / 255 - mean) / std
        self.sub_validation = (subject.sub_validation.pixels / 255 - mean) / std

    def score(self, strategies: Sequence[eagleeye.Strategy]) -> list[Row]:
        """Score one candidate after another."""
        return [self._score(strategy) for strategy in strategies]

    def _score(self, strategy: eagleeye.Strategy) -> Row:
        started = time.perf_counter()
        thin = eagleeye.prune(self.subject.network, self.subject.space, strategy)
        for module in thin.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        with torch.inference_mode():
            thin.train()
            for inputs in self.calibration.split(BATCH):
                thin(inputs)
            thin.eval()
            outputs = torch.cat([thin(inputs) for inputs in self.sub_validation.split(BATCH)])
        accuracy = float((outputs.argmax(1) == self.subject.sub_validation.labels).double().mean())
        images = len(self.calibration) + len(self.sub_validation)
        return _row(strategy, accuracy, images, time.perf_counter() - started)


class Raced:
    """The engine with its default settings, or others.

    Args:
        subject: What to measure on.
        precision: As in `eagleeye.engine.Method`.
        first: The first rung of the race; None: every candidate on all images.
        refitted: Whether channels go by second-order importance and layers are refitted; else by L1 norm.
    """

    def __init__(
        self, subject: Subject, precision: str = "auto", first: Rung | None = FIRST, *, refitted: bool = False
    ) -> None:
        self.first = first
        method = Method(precision=precision)
        if refitted:
            found = subject.reconstruction
            method = Method(precision=precision, criterion=found.order, refit=found)
        shape = subject.preprocess
        self.engine = Engine(
            copy.deepcopy(subject.network),
            subject.space,
            Batches(subject.calibration, shape, batch_size=BATCH, device="cpu", labelled=False),
            Batches(subject.sub_validation, shape, batch_size=BATCH, device="cpu", labelled=True),
            method=method,
        )

    def score(self, strategies: Sequence[eagleeye.Strategy]) -> list[Row]:
        """Score all candidates together; the time of one is its share of the whole."""
        started = time.perf_counter()
        ranking = eagleeye.search(self.engine, strategies, first=self.first)
        each = (time.perf_counter() - started) / len(strategies)
        by_id = {strategy.id: strategy for strategy in strategies}
        return [
            # A race that goes on scores its images anew: the first rung's are scored twice.
            _row(by_id[row.id], row.accuracy, self._images(row), each) | {"place": row.rank, "scored": row.images}
            for row in ranking.itertuples()
        ]

    def _images(self, row: Any) -> int:
        images = int(row.calibration_images + row.images)
        if self.first is not None and row.images > self.first.sub_validation:
            images += self.first.sub_validation
        return images


class Encoded(Dataset[tuple[Tensor, int]]):
    """Encoded images, decoded and transformed one by one as they are asked for."""

    def __init__(self, subject: Subject, rows: Sequence[int], transform: v2.Transform) -> None:
        self.files = [subject.images.encoded(row) for row in rows]
        self.labels = [int(subject.images.labels[row]) for row in rows]
        self.transform = transform

    def __len__(self) -> int:
        """Number of images."""
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with Image.open(io.BytesIO(self.files[place])) as picture:
            return self.transform(picture.convert("RGB")), self.labels[place]


def _row(strategy: eagleeye.Strategy, accuracy: float, images: int, seconds: float) -> Row:
    return {
        "id": strategy.id,
        "accuracy": accuracy,
        "images": images,
        "macs": images * strategy.macs,
        "seconds": seconds,
    }
