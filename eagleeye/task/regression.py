"""Numbers for an image, or for every pixel of it: errors, in the numbers' own unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.task.confidence import Errors
from eagleeye.task.fidelity import DISTANCE, SIMILARITY, check_structure, relative_error
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name

if TYPE_CHECKING:
    from torchmetrics import Metric


def error(outputs: Tensor, wanted: Tensor) -> Tensor:
    """The absolute error, the mean over an image's numbers.

    Args:
        outputs: Of the candidate (n, …).
        wanted: Of the same shape.

    Returns:
        float64 (n,).
    """
    return (outputs.double() - wanted.double()).abs().reshape(len(outputs), -1).mean(1)


def squared_error(outputs: Tensor, wanted: Tensor) -> Tensor:
    """The squared error, the mean over an image's numbers.

    Args:
        outputs: Of the candidate (n, …).
        wanted: Of the same shape.

    Returns:
        float64 (n,).
    """
    return (outputs.double() - wanted.double()).square().reshape(len(outputs), -1).mean(1)


class Regression(Task):
    """Networks with one tensor of numbers, (n, …), and targets of the same shape."""

    name = "regression"
    scorers = by_name(
        [
            Scorer("error", error, False, Errors, "squared_error", "errors", "mean absolute error"),
            Scorer("squared_error", squared_error, False, Errors, "error", "squared_errors", "mean squared error"),
            DISTANCE,
            SIMILARITY,
        ]
    )

    def check(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check`."""
        if not isinstance(outputs, Tensor):
            raise EvaluationError(
                f"network output: a {type(outputs).__name__}; needed is one tensor of numbers (n, …): let a module of"
                " your own around the network return that, or name task fidelity, which takes any outputs"
            )
        if targets.shape[1:] != outputs.shape[1:]:
            raise EvaluationError(
                f"targets: {tuple(targets.shape[1:])} for every image, but the network's outputs are"
                f" {tuple(outputs.shape[1:])}; both need the same shape"
            )
        check_structure(outputs)

    def answers(self, outputs: Any) -> Tensor:
        """The outputs; see `Task.answers`."""
        found: Tensor = outputs
        return found

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """Mean squared error; see `Task.criterion`."""
        if label_smoothing:
            raise ConfigError(f"label_smoothing is {label_smoothing}: numbers are not smoothed; set it to 0")
        loss = nn.MSELoss()
        return lambda outputs, targets: loss(outputs, targets.to(outputs.dtype))

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """The relative error from the unpruned network's numbers; see `Task.distance`."""
        return relative_error(outputs, wanted)

    def told(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A number for an image each, or one after another where there are more axes; see `Task.told`."""
        pair = outputs, targets.to(outputs.dtype)
        return pair if outputs.dim() <= 2 else (pair[0].flatten(), pair[1].flatten())

    def metrics(self, outputs: Any) -> Mapping[str, Metric]:
        """The mean absolute error and the share of the variance explained, R², of all images; see `Task.metrics`."""
        from torchmetrics import MeanAbsoluteError, R2Score

        return {"mean absolute error": MeanAbsoluteError(), "R²": R2Score()}
