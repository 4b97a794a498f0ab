"""Fine-tuning of a pruned network on images in whatever form."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from torch import nn

from eagleeye.compression.division import Part
from eagleeye.compression.progress import Bars
from eagleeye.compression.record import Record
from eagleeye.data import Batches
from eagleeye.data.images import Labels
from eagleeye.errors import ConfigError
from eagleeye.forward.inputs import precision_of
from eagleeye.given.collection import Pictures
from eagleeye.task import CLASSIFICATION, Task
from eagleeye.task.task import Loss
from eagleeye.train import OwnTraining, Recipe, TrainData, Trainer, current_share, open_training, train, train_by
from eagleeye.train.collected import CollectedData
from eagleeye.train.data import Batch
from eagleeye.train.objective import Aim

BATCH_SIZE = 64
DISTILLATION = 0.5
"""Share of the loss that is the divergence from the full network's outputs, as in the recipes."""


def recipe_of(
    epochs: int, recipe: Recipe | None, loss: Loss | None, labelled: bool, trainer: Trainer | None = None
) -> Recipe | None:
    """The recipe of fine-tuning, None for none.

    Args:
        epochs: Passes over the training images.
        recipe: Instead of the default one.
        loss: In the place of the task's.
        labelled: Whether labels are known; else the network learns from the full one alone.
        trainer: A loop of the user's own, instead of all that.

    Raises:
        ConfigError: They contradict each other.
    """
    if trainer is not None:
        given = {"epochs": epochs or None, "recipe": recipe, "loss": loss}
        also = next((name for name, value in given.items() if value is not None), None)
        if also is not None:
            raise ConfigError(f"trainer: it trains the network instead of what {also} is about; give one of the two")
        return None
    if epochs and recipe is not None:
        raise ConfigError(f"epochs is {epochs}, and the recipe has {recipe.epochs}: give one of the two")
    if epochs < 0:
        raise ConfigError(f"epochs is {epochs}, but must be at least 0")
    if recipe is None:
        if not epochs:
            if loss is not None:
                raise ConfigError("loss: nothing is fine-tuned with it; give epochs, too")
            return None
        recipe = Recipe(epochs, batch_size=BATCH_SIZE, augment="none", distillation=DISTILLATION, mixed_precision=False)
    if labelled:
        return recipe
    if loss is not None:
        raise ConfigError("loss: it needs labels, and the images have none")
    return replace(recipe, distillation=1.0)


@dataclass(frozen=True)
class Course:
    """How a network is fine-tuned, and who listens.

    Attributes:
        recipe: How.
        aim: The task, what chooses the best epoch, and the user's loss.
        record: Where its state is kept from epoch to epoch, and found again.
        bars: Where to show how far it is.
        widths: The network's, to find its state.
    """

    recipe: Recipe
    aim: Aim
    record: Record | None
    bars: Bars
    widths: tuple[int, ...]

    def key(self, rows: Labels) -> str:
        """A hash of what determines the training, beside the search: the recipe, the network, the images."""
        own = self.aim.loss
        loss = None if own is None else getattr(own, "__qualname__", type(own).__name__)
        words = f"{asdict(self.recipe)} {self.widths} {loss} {self.aim.by.name}"
        return hashlib.sha256(words.encode() + rows.tobytes()).hexdigest()


def finetune(
    model: nn.Module, teacher: nn.Module, part: Part, validation: Batches[Batch], course: Course
) -> pd.DataFrame:
    """Train a pruned network in place; it ends in evaluation mode, with the weights of its best epoch.

    Args:
        model: The pruned network.
        teacher: The full one.
        part: Training images.
        validation: Sub-validation images, which choose the epoch.
        course: How.

    Returns:
        One row per epoch, as in `eagleeye.train.TrainResult`.

    Raises:
        DataError: There are too few images.
        EvaluationError: The loss is no longer a number.
    """
    recipe = course.recipe
    record = course.record
    key = course.key(part.rows)
    data = open_data(part, recipe, validation.device, course.aim.task)
    data.normalise = data.normalise.of(precision_of(model))
    state = None if record is None else record.state(key)
    begun = 0 if state is None else state["epoch"] * data.steps(recipe, current_share())
    found = train(
        model,
        data,
        validation,
        recipe,
        device=validation.device,
        teacher=teacher if recipe.distillation else None,
        task=course.aim.task,
        by=course.aim.by,
        loss=course.aim.loss,
        core=course.aim.core,
        state=state,
        on_epoch=None if record is None else partial(record.keep_state, key),
        on_step=lambda done, total, _speed: course.bars.at("fine-tuning", done, total, "steps", begun),
    )
    return found.history


def finetune_by(
    trainer: Trainer, model: nn.Module, record: Record | None, widths: tuple[int, ...], bars: Bars
) -> OwnTraining:
    """Have the user's own loop train a pruned network.

    Args:
        trainer: The loop.
        model: The pruned network, left as it is.
        record: A folder beside it keeps the loop's state; without, a folder that is gone afterwards does.
        widths: The network's, to find its state.
        bars: Where to show how far it is.

    Returns:
        The trained network, and what the loop told.

    Raises:
        EagleEyeError: See `eagleeye.train.train_by`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory())) if record is None else record.folder(widths)
        stack.enter_context(bars.step("fine-tuning by your trainer"))
        return train_by(trainer, model, folder)


def open_data(part: Part, recipe: Recipe, device: torch.device, task: Task = CLASSIFICATION) -> TrainData:
    """Training data of images in whatever form.

    Args:
        part: The images.
        recipe: How they are used.
        device: Where batches are wanted.
        task: What the network is for.

    Raises:
        ConfigError: Pictures are to be moved without their targets.
        DataError: There are none, or the first cannot be decoded.
    """
    if recipe.augment != "none" and task.targets_move:
        raise ConfigError(
            f"augment '{recipe.augment}' moves pictures without their targets: use 'none', and for {task.name} give a"
            " data set that augments both"
        )
    if isinstance(part.images, Pictures) and part.images.labels is not None:
        return open_training(part.images.images, part.rows, part.images.shape, recipe, device=device)
    return CollectedData(part.images, part.rows, device)
