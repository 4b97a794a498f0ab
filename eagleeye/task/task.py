"""What a network is for: which outputs it has, how candidates of it are scored, and what it is fine-tuned by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from eagleeye.errors import ConfigError
from eagleeye.forward.structures import tensors
from eagleeye.task.scores import VANILLA, Order, Scorer

if TYPE_CHECKING:
    from torchmetrics import Metric

Loss = Callable[[Any, Any], Tensor]
"""From a network's outputs, in float32, and the targets of the same images to a scalar."""


class Task(ABC):
    """A kind of networks.

    Scores are means over images, so that candidates are compared image by image. Those that compare with the unpruned
    network need no labels.

    Attributes:
        name: What it is called in settings.
        scorers: Its scores by name, in the order of every table; the first that can be used decides by default.
        targets: What images come with, where they are labelled: `class`, one for each, int64 (n,), so that images are
            drawn class by class; `tensor`, (n, …); `list`: a structure of tensors for each, e.g. its boxes, and so are
            the outputs; or `none`: labels are not looked at.
        targets_move: Whether targets say where things are in a picture, so that it cannot be shifted or mirrored
            without them.
        computes_losses: Whether a network in training takes the targets beside the images, and returns its losses.
    """

    name: str
    scorers: Mapping[str, Scorer]
    targets: Literal["class", "tensor", "list", "none"] = "tensor"
    targets_move: bool = True
    computes_losses: bool = False

    @property
    def listed(self) -> bool:
        """Whether outputs and targets are lists with an entry for each image, instead of tensors, batch first."""
        return self.targets == "list"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of tables: the scores after adaptive BN, then those with the trained network's statistics."""
        return (*self.scorers, *(VANILLA + name for name in self.scorers))

    def usable(self, labelled: bool) -> list[str]:
        """The names of the scores that images have what it takes for.

        Args:
            labelled: Whether their targets are known.
        """
        return [name for name, scorer in self.scorers.items() if labelled or scorer.compares]

    def order(self, score: str | None = None, *, labelled: bool = True) -> Order:
        """What candidates are ordered by.

        Args:
            score: The score that ranks; None: the first that can be used.
            labelled: Whether targets are known.

        Raises:
            ConfigError: There is none of that name, or it needs labels that are not known.
        """
        usable = self.usable(labelled)
        score = score or usable[0]
        if score not in self.scorers:
            raise ConfigError(f"score {score!r} is none of {', '.join(self.scorers)}; choose one of these")
        if score not in usable:
            raise ConfigError(
                f"score {score}: it needs labels, and sub_validation has none; choose {' or '.join(usable)}"
            )
        first = self.scorers[score]
        return Order(first, self.scorers[first.second])

    @abstractmethod
    def check(self, outputs: Any, targets: Any) -> None:
        """Check that a network's outputs are of this kind, and fit the targets.

        Args:
            outputs: What the network returned, for some images.
            targets: Of these images or of all, (n, …) or a list; not known, what `answers` makes of outputs.

        Raises:
            EvaluationError: They are not, or do not, or are not finite.
        """

    def check_images(self, model: nn.Module, inputs: Tensor, targets: Any) -> None:  # noqa: B027 - few have to
        """Check that targets, where these are known, fit the pictures and the network.

        Args:
            model: The network.
            inputs: Some images, all of the size of the others (n, channels, …).
            targets: Of any images.

        Raises:
            DataError: They do not.
        """

    def answers(self, outputs: Any) -> Any:
        """What stands for targets that are not known, so that outputs can be held against something.

        Args:
            outputs: The unpruned network's, for n images.

        Returns:
            A tensor (n, …), or a list with an entry for each image; zeros where targets are not looked at.
        """
        return torch.zeros(len(tensors(outputs)[0]), dtype=torch.int64)

    @abstractmethod
    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """What fine-tuning minimises where there are targets.

        Args:
            label_smoothing: For losses that know it.

        Raises:
            ConfigError: There are none to learn from, or the loss cannot smooth.
        """

    @abstractmethod
    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """What fine-tuning minimises to learn from the unpruned network.

        Args:
            outputs: Of the network in training; where it returns losses, those of its core.
            wanted: The unpruned network's, of the same structure and shapes.
            temperature: What outputs are divided by, for distances between distributions.

        Returns:
            A scalar in float32.
        """

    def told(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """What the metrics are told of a batch.

        Args:
            outputs: Of a network, for n images.
            targets: Of these images (n, …).

        Returns:
            Predictions and targets in the form that they want.
        """
        return tensors(outputs)[0], targets

    def metrics(self, outputs: Any) -> Mapping[str, Metric]:
        """Metrics of a whole set of images, which are reported; none where the scores say all.

        Args:
            outputs: Of a network for some images.

        Returns:
            Metrics of torchmetrics, which nothing has been put into, by what people call them.
        """
        return {}

    def check_training(self, outputs: Any, targets: Any) -> None:
        """Check once, before the first step, that outputs in training fit the targets.

        Args:
            outputs: What the network returned, for some images.
            targets: Of all images, (n, …).

        Raises:
            ModelError: The outputs are of another kind.
            DataError: There are targets that they cannot reach.
        """
        self.check(outputs, targets)


def by_name(scorers: Sequence[Scorer]) -> dict[str, Scorer]:
    """Scores as a table, in their order."""
    return {scorer.name: scorer for scorer in scorers}
