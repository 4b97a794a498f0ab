"""One class per image: top-1 accuracy, cross-entropy, and two scores that need no labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eagleeye.errors import DataError, EvaluationError, ModelError
from eagleeye.task.confidence import Hits, Losses
from eagleeye.task.scores import Scorer
from eagleeye.task.task import Loss, Task, by_name


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest logit is the label's; the mean is top-1 accuracy.

    Args:
        logits: Of the candidate, float (n, classes).
        labels: int64 (n,).

    Returns:
        bool (n,).
    """
    return logits.argmax(dim=1) == labels


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the log-probability of the label, in nats.

    Args:
        logits: Of the candidate, float (n, classes).
        labels: int64 (n,).

    Returns:
        float64 (n,), so that a mean over 10,000 images does not depend on the batches they came in.
    """
    return F.cross_entropy(logits.double(), labels, reduction="none")


def agreement(logits: Tensor, full: Tensor) -> Tensor:
    """Whether the candidate chooses the class that the unpruned network chooses, right or wrong.

    Args:
        logits: Of the candidate, float (n, classes).
        full: Of the unpruned network for the same images, float (n, classes).

    Returns:
        bool (n,).
    """
    return logits.argmax(dim=1) == full.argmax(dim=1)


def divergence(logits: Tensor, full: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the candidate's class probabilities from the unpruned network's, in nats.

    Args:
        logits: Of the candidate, float (n, classes).
        full: Of the unpruned network for the same images, float (n, classes).

    Returns:
        float64 (n,), at least 0; 0 where both give the same probabilities.
    """
    mine, wanted = (F.log_softmax(each.double(), dim=1) for each in (logits, full))
    return F.kl_div(mine, wanted, reduction="none", log_target=True).sum(dim=1).clamp(min=0)


class Classification(Task):
    """Networks with class scores, (n, classes), and a class for every image, int64 (n,)."""

    name = "classification"
    targets = "class"
    targets_move = False
    scorers = by_name(
        [
            Scorer("accuracy", correct, False, Hits, second="loss", images="hits", label="top-1 accuracy"),
            Scorer("loss", cross_entropy, False, Losses, second="accuracy", images="losses", label="cross-entropy"),
            Scorer("agreement", agreement, True, Hits, second="divergence", images="agrees", label="agreement"),
            Scorer(
                "divergence", divergence, True, Losses, second="agreement", images="divergences", label="divergence"
            ),
        ]
    )

    def check(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check`."""
        if not isinstance(outputs, Tensor) or outputs.dim() != 2:
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise EvaluationError(
                f"network output: {shape} is no table of class scores; it must be a tensor (n, classes): let a module"
                " of your own around the network return that alone, or name another task, e.g. fidelity, which takes"
                " any outputs"
            )
        if outputs.shape[1] == 1:
            raise EvaluationError(
                "network output: one value per image is no choice between classes; for a binary logit z, let a module"
                " of your own around the network return torch.cat([torch.zeros_like(z), z], 1)"
            )
        if int(targets.max()) >= outputs.shape[1]:
            raise EvaluationError(
                f"labels: class {int(targets.max())} occurs, but the network has {outputs.shape[1]} outputs;"
                " build it for the classes of the data"
            )
        if not bool(torch.isfinite(outputs).all()):
            raise EvaluationError(
                "network output: it holds NaN or infinite values; check the checkpoint and the images' normalisation"
            )

    def answers(self, outputs: Any) -> Tensor:
        """The class that is chosen, int64 (n,); see `Task.answers`."""
        chosen: Tensor = outputs.argmax(1)
        return chosen

    def criterion(self, label_smoothing: float = 0.0) -> Loss:
        """Cross-entropy; see `Task.criterion`."""
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing)

    def distance(self, outputs: Any, wanted: Any, temperature: float) -> Tensor:
        """The divergence of softened class probabilities, T² · KL (Hinton et al., 2015); see `Task.distance`."""
        mine, softened = (F.log_softmax(each.float() / temperature, dim=1) for each in (outputs, wanted))
        return temperature**2 * F.kl_div(mine, softened, reduction="batchmean", log_target=True)

    def check_training(self, outputs: Any, targets: Tensor) -> None:
        """See `Task.check_training`."""
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            shape = f"a tensor of shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs)
            raise ModelError(f"the network returns {shape} in training, but must return logits (images, classes)")
        if (highest := int(targets.max())) >= outputs.shape[1]:
            raise DataError(
                f"the network has {outputs.shape[1]} outputs, but there are labels up to {highest}: "
                f"build the model with num_classes={highest + 1}"
            )


CLASSIFICATION = Classification()
SCORERS = CLASSIFICATION.scorers
COLUMNS = CLASSIFICATION.columns
