"""How candidates are evaluated, and what that finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from eagleeye.channels.space import Space
from eagleeye.data import Batches
from eagleeye.errors import ConfigError
from eagleeye.forward.cores import one_thread
from eagleeye.forward.kernels import multiplies_bfloat16
from eagleeye.importance import Criterion, l1_norm
from eagleeye.reconstruction import Reconstruction, reconstruct
from eagleeye.scoring.evaluate import Predictions, Score

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Method:
    """How candidates are evaluated."""

    mode: str = "reset"
    """Adaptive BN: `reset` or `paper`, as in `adapt_batch_norm`."""
    iterations: int | None = None
    """Calibration batches of `paper`; None: the published 100."""
    precision: str = "auto"
    """Of convolutions and linear layers, as in `choose_precision`."""
    criterion: Criterion = l1_norm
    """Importance of every group's channels."""
    refit: Reconstruction | None = None
    """From `reconstruct`: layers that lose inputs are refitted to do without them; None leaves their weights."""


MEASURED = 512
"""Calibration images on which `best_method` measures activations; more of them hardly matter."""


def best_method(model: nn.Module, space: Space, calibration: Batches[Tensor]) -> Method:
    """What gives the best networks: channels by second-order importance, layers that lose inputs refitted.

    `Method()` is the paper's way instead: channels by L1 norm, weights as they are.

    Args:
        model: The trained network on its device.
        space: Its search space.
        calibration: Images without labels; the first 512 are looked at.

    Raises:
        StrategyError: The space was traced from another network.
        EvaluationError: A layer reads values that are not finite.
    """
    with one_thread():
        found = reconstruct(model, space, calibration.first(MEASURED))
    return Method(criterion=found.order, refit=found)


def choose_precision(name: str, device: torch.device | str, own: torch.dtype = torch.float32) -> torch.dtype:
    """The precision that a setting names.

    Args:
        name: `float32`, `bfloat16`, or `auto`: bfloat16 where the device multiplies it natively.
        device: Where the networks run.
        own: The precision of the network's weights; one that is not float32 is kept.

    Returns:
        `torch.float32`, `torch.bfloat16` or the network's own.

    Raises:
        ConfigError: Unknown name, or another precision than that of a network that is not float32.
    """
    if name not in PRECISIONS:
        raise ConfigError(f"precision: '{name}' is unknown; allowed are {', '.join(PRECISIONS)}")
    if own != torch.float32:
        if name not in ("auto", kind := str(own).removeprefix("torch.")):
            raise ConfigError(f"precision: '{name}', but the network's weights are {kind}: leave 'auto', or convert it")
        return own
    if name == "float32" or (name == "auto" and not multiplies_bfloat16(torch.device(device))):
        return torch.float32
    return torch.bfloat16


@dataclass(frozen=True)
class Outcome:
    """What the evaluation of one candidate found."""

    predictions: Predictions
    """Image by image, in the images' order: what comparisons are made of."""
    vanilla_predictions: Predictions | None
    """The same with the trained network's statistics, where asked for."""
    statistics: Tensor
    """The candidate's BN statistics (count,), float32 or, like the network, float64, to go on from with more images."""

    @property
    def score(self) -> Score:
        """The score after adaptive BN."""
        return self.predictions.score

    @property
    def scores(self) -> dict[str, float]:
        """All scores after adaptive BN, named as in `eagleeye.task.classification.SCORERS`."""
        return self.predictions.scores

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Per sub-validation image whether the candidate is right."""
        return self.predictions.columns["accuracy"]

    @property
    def vanilla(self) -> Score | None:
        """The score with the trained network's statistics, where asked for."""
        return None if self.vanilla_predictions is None else self.vanilla_predictions.score
