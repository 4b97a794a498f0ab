"""What a training run is made of, checked in one place, and the learning rate of every step."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from eagleeye.errors import ConfigError

Augment = Literal["none", "shift", "shift_flip", "resized_crop"]


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run; published is SGD at 0.01 for 120 epochs (paper, section 4.1).

    Attributes:
        epochs: Passes over the training images, at least 1.
        batch_size: Images per step, over all processes together, at least 2.
        lr: Peak learning rate, above 0; falls to zero along a half cosine.
        momentum: Nesterov momentum in (0, 1), or 0 for none.
        weight_decay: L2 penalty on every parameter, at least 0.
        warmup_epochs: Epochs over which the learning rate rises linearly; below ``epochs``.
        label_smoothing: Share of the target spread evenly over the classes, in [0, 1).
        ema: Decay per step of the moving average of the weights that is scored and kept instead of them, in (0, 1);
            about 1 / (1 - ema) steps are averaged. None: the weights themselves.
        distillation: Share of the loss that is the divergence from a teacher's outputs, in [0, 1]; the rest is
            cross-entropy with the labels. 0: no teacher.
        temperature: What both outputs are divided by for that, above 0: the larger, the more the teacher's second and
            third guesses count.
        augment: ``shift`` crops at random from the image padded by an eighth of its side, ``shift_flip``
            also mirrors, ``resized_crop`` cuts a random part of the original picture, resizes and mirrors it
            (ImageNet).
        mixed_precision: Compute in bfloat16 or float16 where the device multiplies them: GPUs, and CPUs with
            AVX512-BF16 or AMX. No effect on other CPUs. Validation is in float32.
        seed: Seed of the order of the images, of the augmentation and of dropout.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_epochs: int = 0
    label_smoothing: float = 0.0
    ema: float | None = None
    distillation: float = 0.0
    temperature: float = 4.0
    augment: Augment = "shift_flip"
    mixed_precision: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with, naming the setting, its value and what is allowed."""
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2 (batch norm needs two images)")
        _require(0 < self.lr < math.inf, "lr", self.lr, "above 0")
        _require(0 <= self.momentum < 1, "momentum", self.momentum, "in [0, 1)")
        _require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "at least 0")
        _require(
            0 <= self.warmup_epochs < self.epochs,
            "warmup_epochs",
            self.warmup_epochs,
            f"in [0, {self.epochs - 1}]",
        )
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        _require(self.ema is None or 0 < self.ema < 1, "ema", self.ema, "in (0, 1), or None")
        _require(0 <= self.distillation <= 1, "distillation", self.distillation, "in [0, 1]")
        _require(0 < self.temperature < math.inf, "temperature", self.temperature, "above 0")
        _require(
            self.augment in get_args(Augment),
            "augment",
            self.augment,
            f"one of {', '.join(get_args(Augment))}",
        )
        _require(self.seed >= 0, "seed", self.seed, "at least 0")


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of one step: a linear warm-up, then half a cosine that ends at zero.

    A function of the step alone, so that a resumed run continues on exactly the undisturbed curve.

    Args:
        recipe: Gives the peak, the warm-up and the length.
        step: Steps done before, counted from 0 over the whole run.
        steps_per_epoch: Steps in one epoch.

    Returns:
        The learning rate of that step.
    """
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    progress = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * progress))


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}, but must be {allowed}")
