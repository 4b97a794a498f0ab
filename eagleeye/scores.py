"""What a candidate's logits say about it, image by image; means over the images are its scores.

Two of the four need no labels: they compare the candidate with the unpruned network on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from eagleeye.errors import ConfigError

SIGNS = {"accuracy": 1, "loss": -1, "agreement": 1, "divergence": -1}
"""The scores by name; -1 where smaller is better."""
SECOND = {"accuracy": "loss", "loss": "accuracy", "agreement": "divergence", "divergence": "agreement"}
"""What decides between equal scores; a score that needs no labels is not to depend on them this way either."""


def check_score(name: str) -> None:
    """Check that there is a score of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SIGNS:
        raise ConfigError(f"score {name!r} is none of {', '.join(SIGNS)}; choose one of these")


def merits(scores: Mapping[str, float], name: str) -> tuple[float, float]:
    """What a candidate is ordered by.

    Args:
        scores: Its scores by name.
        name: The score that ranks.

    Returns:
        That score, and the one that decides between equal ones, both turned so that larger is better.
    """
    return SIGNS[name] * scores[name], SIGNS[SECOND[name]] * scores[SECOND[name]]


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
