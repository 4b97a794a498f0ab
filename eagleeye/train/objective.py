"""What training minimises: cross-entropy, and with a teacher the divergence from its outputs.

Distillation as in Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015: the teacher sees the
same augmented images, both outputs are softened by a temperature T, and the divergence is multiplied by T², so that its
gradient does not shrink as T grows and the weights of the two parts keep their meaning.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.errors import ConfigError, ModelError
from eagleeye.forward.modes import evaluating
from eagleeye.train.recipe import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits (n, classes), float32, and labels (n,) to a scalar."""


class Objective:
    """The loss of a batch: (1 - w) · cross-entropy + w · T² · KL(teacher ‖ network), w being the recipe's share."""

    def __init__(
        self, recipe: Recipe, teacher: nn.Module | None, device: torch.device, loss: Loss | None = None
    ) -> None:
        """Put the teacher where the network is.

        Args:
            recipe: Label smoothing, share of distillation and temperature.
            teacher: A trained network with the same classes; its weights and mode stay as they are.
            device: Where the network trains.
            loss: What takes the place of cross-entropy.

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
        if loss is not None and recipe.label_smoothing:
            raise ConfigError(f"label_smoothing is {recipe.label_smoothing}: a loss of your own smooths labels itself")
        self.loss: Loss = loss or nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        if teacher is not None:
            teacher.to(device).to(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of one batch, to be computed in the same autocast as the logits.

        Args:
            x: Images (n, channels, h, w), normalised.
            logits: Of the network for them, (n, classes).
            y: Labels int64 (n,).

        Returns:
            A scalar in float32.

        Raises:
            ModelError: The teacher's outputs are of another shape.
        """
        hard = self.loss(logits.float(), y)
        if not isinstance(hard, Tensor) or hard.dim():
            given = tuple(hard.shape) if isinstance(hard, Tensor) else type(hard).__name__
            raise ConfigError(f"loss: it returned {given}; needed is one number in a tensor, e.g. the mean")
        if self.teacher is None:
            return hard
        return (1 - self.share) * hard + self.share * self._divergence(x, logits)

    def _divergence(self, x: Tensor, logits: Tensor) -> Tensor:
        assert self.teacher is not None
        # No inference mode: the backward pass keeps what is made here.
        with evaluating(self.teacher), torch.no_grad():
            wanted = self.teacher(x)
        if not isinstance(wanted, Tensor) or wanted.shape != logits.shape:
            shape = tuple(wanted.shape) if isinstance(wanted, Tensor) else type(wanted).__name__
            raise ModelError(
                f"the teacher returns {shape}, but the network {tuple(logits.shape)}: both need one output per class"
            )
        mine, softened = (F.log_softmax(each.float() / self.temperature, dim=1) for each in (logits, wanted))
        return self.temperature**2 * F.kl_div(mine, softened, reduction="batchmean", log_target=True)

    def leave(self) -> None:
        """Put the teacher into the usual memory format."""
        if self.teacher is not None:
            self.teacher.to(memory_format=torch.contiguous_format)
