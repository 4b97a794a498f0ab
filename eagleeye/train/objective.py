"""What training minimises: the task's loss, and with a teacher the distance from its outputs.

Distillation as in Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015: the teacher sees the
same augmented images, both outputs are softened by a temperature T, and the divergence is multiplied by T², so that its
gradient does not shrink as T grows and the weights of the two parts keep their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.channels.core import core_of
from eagleeye.errors import ConfigError, ModelError
from eagleeye.forward.inputs import call
from eagleeye.forward.modes import evaluating
from eagleeye.forward.structures import tensors
from eagleeye.scoring.evaluate import in_float32
from eagleeye.task import CLASSIFICATION, Order, Task
from eagleeye.task.task import Loss
from eagleeye.train.forward import Made
from eagleeye.train.recipe import Recipe

_BY_ACCURACY = CLASSIFICATION.order()


@dataclass(frozen=True)
class Aim:
    """What a network is trained to be."""

    task: Task = CLASSIFICATION
    by: Order = _BY_ACCURACY
    """What chooses the best epoch."""
    loss: Loss | None = None
    """In the place of the task's."""
    core: str = ""
    """The module that was pruned, from whose outputs networks learn that compute their losses themselves."""


class Objective:
    """The loss of a batch, w being the recipe's share: (1 - w) · loss + w · distance from the teacher.

    In classification that is (1 - w) · cross-entropy + w · T² · KL(teacher ‖ network).
    """

    def __init__(self, recipe: Recipe, teacher: nn.Module | None, device: torch.device, aim: Aim = Aim()) -> None:
        """Put the teacher where the network is.

        Args:
            recipe: Label smoothing, share of distillation and temperature.
            teacher: A trained network with the same kind of outputs; its weights and mode stay as they are.
            device: Where the network trains.
            aim: The task.

        Raises:
            ConfigError: There is a teacher without distillation, or distillation without a teacher; or a loss where the
                recipe smooths labels, which only cross-entropy can.
        """
        share = recipe.distillation
        if share > 0 and teacher is None:
            raise ConfigError(
                f"distillation is {share}, but there is no teacher to learn from: give one, or set it to 0"
            )
        if share == 0 and teacher is not None:
            raise ConfigError("there is a teacher, but distillation is 0: set it above 0, or give no teacher")
        self.share = share
        self.temperature = recipe.temperature
        self.teacher = teacher
        if aim.loss is not None and recipe.label_smoothing:
            raise ConfigError(f"label_smoothing is {recipe.label_smoothing}: a loss of your own smooths labels itself")
        self.task = aim.task
        self.core = aim.core
        if teacher is not None and aim.task.computes_losses and not aim.core:
            raise ConfigError(
                f"distillation is {share}: what a network for {aim.task.name} returns has no gradient to learn by; name"
                " its core, e.g. 'backbone', or set distillation to 0"
            )
        # Whoever learns from the teacher alone needs no targets, nor a loss that knows what to do with them.
        self.loss = None if share == 1 else aim.loss or aim.task.criterion(recipe.label_smoothing)
        if teacher is not None:
            teacher.to(device).to(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, outputs: Any, y: Any) -> Tensor:
        """The loss of one batch, to be computed in the same autocast as the outputs.

        Args:
            x: Images (n, channels, h, w), normalised.
            outputs: Of the network for them, from `eagleeye.train.forward.Forward`.
            y: Targets (n, …), or a list with an entry for each image.

        Returns:
            A scalar in float32.

        Raises:
            ModelError: The teacher's outputs are of another shape.
        """
        if self.loss is None:
            return self._distance(x, outputs)
        hard = self.loss(in_float32(outputs.losses if isinstance(outputs, Made) else outputs), y)
        if not isinstance(hard, Tensor) or hard.dim():
            given = tuple(hard.shape) if isinstance(hard, Tensor) else type(hard).__name__
            raise ConfigError(f"loss: it returned {given}; needed is one number in a tensor, e.g. the mean")
        if self.teacher is None:
            return hard
        return (1 - self.share) * hard + self.share * self._distance(x, outputs)

    def _distance(self, x: Tensor, outputs: Any) -> Tensor:
        assert self.teacher is not None
        # No inference mode: the backward pass keeps what is made here.
        with evaluating(self.teacher), torch.no_grad():
            if isinstance(outputs, Made):
                wanted = call(core_of(self.teacher, self.core), outputs.reached)
                outputs = outputs.core
            else:
                wanted = self.teacher(x)
        mine, theirs = ([tuple(tensor.shape) for tensor in tensors(each)] for each in (outputs, wanted))
        if mine != theirs:
            raise ModelError(
                f"the teacher returns {_listed(theirs)}, but the network {_listed(mine)}: both need the same outputs,"
                " in classification one per class"
            )
        return self.task.distance(in_float32(outputs), in_float32(wanted), self.temperature)

    def leave(self) -> None:
        """Put the teacher into the usual memory format."""
        if self.teacher is not None:
            self.teacher.to(memory_format=torch.contiguous_format)


def _listed(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(str(shape) for shape in shapes) or "no tensor"
