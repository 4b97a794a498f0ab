"""A training run that continues where a killed one stopped: its state lies in a cache, by content."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from eagleeye.data import Batches, ImageSet
from eagleeye.data.samples import Samples
from eagleeye.errors import CheckpointError
from eagleeye.files import written_whole
from eagleeye.given import collect
from eagleeye.task import Task
from eagleeye.train import Recipe, TrainData, TrainResult, current_share, local_device, open_training, train
from eagleeye.train.collected import CollectedData
from tasks.artifacts import BASELINE, CACHE, SUB_VALIDATION, WATCHED_DATA, require
from tasks.inputs.images import choose_device, facts_of, load_subset, open_images, preprocess, training_rows
from tasks.inputs.network import load_network
from tasks.params import Params, Training, Tuning
from tasks.run.context import Listener
from tasks.state.content_key import content_key
from tasks.state.sources import own_sources, sources_of
from tasks.task_rules import task_for

State = dict[str, Any]
Told = Callable[[pd.DataFrame], None]


@dataclass(frozen=True)
class Trainer:
    """What every training run of a stage shares.

    Attributes:
        settings: The stage's own section.
        data: The training images, without the sub-validation images.
        validation: The sub-validation images.
        device: Where to train.
        folder: Where the states of unfinished runs lie.
        teacher: The unpruned network, where the settings ask for distillation.
        task: What the network is for; its first score chooses the best epoch.
        core: The name of what is pruned of the network; empty: the network itself.
    """

    settings: Training
    data: TrainData
    validation: Batches[tuple[torch.Tensor, torch.Tensor]]
    device: torch.device
    folder: Path
    teacher: nn.Module | None
    task: Task
    core: str = ""

    def train(
        self, title: str, network: nn.Module, key: str, context: Listener, told: Told = lambda _: None
    ) -> TrainResult:
        """Train one network in place, from its last saved epoch if there is one.

        Args:
            title: Name of the run, for the progress bar.
            network: The network; it ends with the weights of its best epoch, in evaluation mode.
            key: From `training_key`.
            context: Shows the progress.
            told: Given the history so far, which is on disk, at the beginning and after each epoch.

        Returns:
            History, best epoch and its accuracy.
        """
        recipe = recipe_of(self.settings)
        path = self.folder / f"{key}.pt"
        state = _read(path)
        steps = self.data.steps(recipe, current_share())
        done = state["epoch"] * steps if state else 0

        def keep(state: State) -> None:
            _write(path, state)
            told(pd.DataFrame(state["history"]))

        if state:
            told(pd.DataFrame(state["history"]))
            context.say(f"{title}: continues after epoch {state['epoch']} of {recipe.epochs}")
        with context.progress(title, steps * recipe.epochs, "steps", done) as advance:
            result = train(
                network,
                self.data,
                self.validation,
                recipe,
                device=self.device,
                teacher=self.teacher,
                task=self.task,
                core=self.core,
                state=state,
                on_epoch=keep,
                on_step=lambda *_: advance(),
            )
        context.say(f"{title}: {result.history['images_per_second'].median():,.0f} images per second")
        return result


def open_trainer(params: Params, settings: Training, stage: str) -> Trainer:
    """Load what the training runs of a stage share.

    Args:
        params: All settings.
        settings: The stage's own section.
        stage: Name of the stage.
    """
    images, _ = open_images(params)
    chosen, subset = load_subset(params, SUB_VALIDATION)
    device = local_device(choose_device(settings.device))
    data = open_data(params, settings, images, training_rows(len(images), subset.rows), device)
    validation = Batches(chosen, preprocess(params), batch_size=settings.batch_size, device=device, labelled=True)
    teacher = load_network(params) if distils(settings) else None
    folder = CACHE / "training" / stage
    return Trainer(settings, data, validation, device, folder, teacher, task_for(params), params.model.pruned)


def open_data(
    params: Params, settings: Training, images: ImageSet, rows: np.ndarray, device: torch.device
) -> TrainData:
    """The training images of a run.

    Args:
        params: All settings.
        settings: The run's.
        images: The training set; one of inputs is read anew in every epoch, and augments itself if it likes.
        rows: Those to train on.
        device: Where batches are wanted.

    Raises:
        ConfigError: Inputs that are to be augmented.
        DataError: There are none, or the first cannot be decoded.
    """
    shape = preprocess(params)
    if shape is not None:
        return open_training(images, rows, shape, recipe_of(settings), device=device)
    assert isinstance(images, Samples)
    return CollectedData(collect(images.dataset, None, params.data.source, task_for(params)), rows, device)


def distils(settings: Training) -> bool:
    """Whether a run learns from the unpruned network; the one that trains that network cannot."""
    return isinstance(settings, Tuning) and settings.distillation > 0


def recipe_of(settings: Training) -> Recipe:
    """The library's form of a section's settings."""
    return Recipe(**settings.model_dump(exclude={"device"}))


def training_key(params: Params, settings: Training, start: Mapping[str, Any]) -> str:
    """Hash of everything that determines a training run.

    Args:
        params: All settings.
        settings: The stage's own section.
        start: What the initial weights come from: files or plain values, by name.

    Raises:
        ArtifactError: The watch stage has not run.
    """
    require(WATCHED_DATA)
    return content_key(
        {
            "data": params.data.model_dump(mode="json", include={"source", "options"}),
            "preprocess": facts_of(preprocess(params)),
            "task": params.task,
            "model": params.model.model_dump(mode="json", include={"name", "options", "core"}),
            "settings": settings.model_dump(mode="json"),
            "teacher": BASELINE if distils(settings) else None,
            "sub_validation": SUB_VALIDATION,
            "images": WATCHED_DATA,
            **sources_of("eagleeye.data", "eagleeye.models", "eagleeye.task.named", "eagleeye.train"),
            **own_sources(params.task, params.data.source, params.model.name),
            **start,
        }
    )


def forget_all_but(stage: str, keys: Iterable[str]) -> None:
    """Delete the states of a stage's runs with other settings; finished ones are in DVC's run cache."""
    if current_share().rank == 0:
        kept = set(keys)
        for path in (CACHE / "training" / stage).glob("*.pt"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)


def forget(stage: str, key: str) -> None:
    """Delete the state of a run whose result is kept elsewhere."""
    (CACHE / "training" / stage / f"{key}.pt").unlink(missing_ok=True)


def _read(path: Path) -> State | None:
    if not path.is_file():
        return None
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    # A file that was damaged on disk makes torch raise almost anything.
    except Exception as error:
        raise CheckpointError(f"{path}: the state of an unfinished training is damaged; delete it") from error
    return state


def _write(path: Path, state: State) -> None:
    with written_whole(path) as beside:
        torch.save(state, beside)
