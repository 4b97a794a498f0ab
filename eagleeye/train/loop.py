"""Training and fine-tuning: SGD with a cosine learning rate, the best epoch kept, resumable at any epoch.

The published recipe is 120 epochs of SGD at 0.01 with a cosine, momentum 0.9 and weight decay 1e-4 (paper,
section 4.1). Unlike the published code, the best epoch is chosen on the sub-validation images, never on the
test set.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from eagleeye.errors import DataError
from eagleeye.forward.kernels import repeatable_kernels
from eagleeye.task import CLASSIFICATION, Order, Task
from eagleeye.task.task import Loss
from eagleeye.train import distributed
from eagleeye.train.data import Batch, TrainData
from eagleeye.train.objective import Aim
from eagleeye.train.recipe import Recipe
from eagleeye.train.run import Run, State


def history_columns(by: Order) -> list[str]:
    """The columns of a history.

    Args:
        by: What chooses the best epoch.
    """
    # A score may be alone, and decide between equals, too.
    names = dict.fromkeys(f"validation_{each.name}" for each in (by.first, by.second))
    return ["epoch", "lr", "train_loss", *names, SPEED]


SPEED = "images_per_second"


@dataclass(frozen=True)
class TrainResult:
    """What a training run tells.

    Attributes:
        history: One row per epoch: epoch (from 1), lr (of its first step), train_loss (what is minimised, label
            smoothing and distillation included), the two validation scores that choose the best epoch, in
            classification validation_accuracy in [0, 1] and validation_loss (cross-entropy), images_per_second.
        best_epoch: Epoch whose weights the model ended with.
        best_score: The first of the two in that epoch.
    """

    history: pd.DataFrame
    best_epoch: int
    best_score: float


def train(  # noqa: PLR0913 - what to train, on what, how, and who listens
    model: nn.Module,
    data: TrainData,
    validation: Iterable[Batch],
    recipe: Recipe,
    *,
    device: str | torch.device,
    teacher: nn.Module | None = None,
    task: Task = CLASSIFICATION,
    by: Order | None = None,
    loss: Loss | None = None,
    core: str = "",
    state: State | None = None,
    on_epoch: Callable[[State], None] | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> TrainResult:
    """Train a network in place; it ends in evaluation mode, with the weights of its best epoch.

    The best epoch has the best score on the validation batches, in classification the highest accuracy; among equals
    the second score decides, the loss, then the earliest wins. Interrupted at any moment and continued from the last
    state, a run ends with the very bits of an undisturbed one (on the same device). Started by `torchrun`, the
    processes share every batch, and only the first one calls back.

    Args:
        model: Any module with the outputs of the task; a traced or pruned network as well.
        data: Training images, on the same device.
        validation: Labelled batches (x, y), iterated once per epoch; a list or a re-iterable object.
        recipe: Settings of the run.
        device: Where to train, e.g. ``cpu`` or ``cuda``.
        teacher: The network to learn from where the recipe says ``distillation``, for instance the unpruned one, with
            the same classes. It is moved to the device; its weights and its mode stay as they are.
        task: What the network is for.
        by: What chooses the best epoch; None: the task's first score. One that compares with the unpruned network
            compares with the teacher.
        loss: What takes the place of the task's, cross-entropy for instance: from outputs and targets to a scalar.
        core: The name of the module that was pruned, where it is not the whole network: one that computes its losses
            itself, as detectors do, learns from the outputs of the teacher's.
        state: What ``on_epoch`` last received, to continue from there.
        on_epoch: Called after each epoch with everything needed to continue: a dict of tensors and plain
            values that ``torch.load(weights_only=True)`` reads back. Writing it is the caller's business. The last
            row of its ``history`` tells the epoch's losses and images per second.
        on_step: Called after each step with the steps done, the steps of the whole run, and images per
            second.

    Returns:
        History, best epoch and its accuracy.

    Raises:
        ConfigError: There is a teacher without distillation, or distillation without a teacher.
        CheckpointError: The state belongs to another recipe or another network.
        DataError: There are too few images, labels the network has no output for, or validation batches for
            one epoch.
        EvaluationError: The loss is no longer a number.
        ModelError: The network does not return outputs of this task, or the teacher others.
    """
    if iter(validation) is validation:
        raise DataError("validation is an iterator, empty after one epoch: pass a list of batches, or Batches")
    place = distributed.local_device(device)
    with distributed.process_group(place) as share, repeatable_kernels(), _random_state_kept(place):
        run = Run(model, data, recipe, place, share, Aim(task, by or task.order(), loss, core), teacher)
        try:
            if state is not None:
                run.restore(state)
            for epoch in range(run.epoch, recipe.epochs):
                run.train_epoch(epoch, on_step)
                run.score_epoch(validation)
                if on_epoch and share.rank == 0:
                    on_epoch(run.snapshot())
        finally:
            run.leave()
        run.load_best()
    columns = history_columns(run.aim.by)
    history = pd.DataFrame(run.history, columns=columns).astype({"epoch": "int64"})
    return TrainResult(history, run.best["epoch"], run.best[run.aim.by.name])


def _random_state_kept(device: torch.device) -> AbstractContextManager[object]:
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
