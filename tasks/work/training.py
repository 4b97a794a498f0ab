"""A training run that continues where a killed one stopped: its state lies in a cache, by content."""

import shutil
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
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.task import Task
from eagleeye.train import Recipe, TrainData, TrainResult, current_share, local_device, open_training, train
from eagleeye.train.collected import CollectedData
from tasks.artifacts import BASELINE, CACHE, SUB_VALIDATION, WATCHED_DATA, require
from tasks.inputs.images import choose_device, facts_of, load_subset, open_images, preprocess, training_rows
from tasks.inputs.loop import Loop, loop_named, open_loop
from tasks.inputs.network import load_network
from tasks.params import Params, Training, Tuning
from tasks.run.context import Listener
from tasks.state.content_key import content_key
from tasks.state.sources import own_sources, sources_of
from tasks.task_rules import task_for
from tasks.work.own_training import history_of, run_loop

State = dict[str, Any]
Told = Callable[[pd.DataFrame], None]


@dataclass(frozen=True)
class Trainer:
    """What every training run of a stage shares.

    Attributes:
        settings: The stage's own section.
        data: The training images, without the sub-validation images; None where a loop of the user's own trains.
        validation: The sub-validation images.
        device: Where to train.
        folder: Where the states of unfinished runs lie.
        teacher: The unpruned network, where the settings ask for distillation.
        task: What the network is for; its first score chooses the best epoch.
        core: The name of what is pruned of the network; empty: the network itself.
        loop: The user's own loop, which trains instead.
    """

    settings: Training
    data: TrainData | None
    validation: Batches[tuple[torch.Tensor, torch.Tensor]]
    device: torch.device
    folder: Path
    teacher: nn.Module | None
    task: Task
    core: str = ""
    loop: Loop | None = None

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
        path = self.folder / f"{key}.pt"
        state = _read(path)
        if self.data is None:
            return self._by_loop(title, network, path, state, context, told)
        recipe = recipe_of(self.settings)
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

    def _by_loop(
        self, title: str, network: nn.Module, path: Path, state: State | None, context: Listener, told: Told
    ) -> TrainResult:
        """Let the user's loop train; what came of it is on disk before it is looked at any further."""
        assert self.loop is not None
        by = self.task.order()
        network.to(self.device).to(memory_format=torch.contiguous_format)
        if state is None:
            torch.manual_seed(self.settings.seed)

            def tell(rows: list[dict[str, float]]) -> None:
                *_, last = rows
                facts = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name != "epoch")
                context.say(f"{title}: epoch {last['epoch']}: {facts}")
                told(pd.DataFrame(rows))

            trained, rows = run_loop(self.loop, network, path.with_suffix(""), by, tell)
            state = {"model": trained.state_dict(), "history": rows}
            _write(path, state)
        network.load_state_dict(state["model"])
        network.eval()
        full = outputs_of(self.teacher.to(self.device)) if self.teacher is not None else None
        scores = predict(network, self.validation, full=full, task=self.task).scores
        history = history_of(state["history"], by, scores)
        told(history)
        return TrainResult(history, int(history["epoch"].iloc[-1]), scores[by.name])


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
    loop = None if (named := loop_named(settings)) is None else open_loop(named)
    rows = training_rows(len(images), subset.rows)
    data = open_data(params, settings, images, rows, device) if loop is None else None
    validation = Batches(chosen, preprocess(params), batch_size=settings.batch_size, device=device, labelled=True)
    task = task_for(params)
    compared = loop is not None and task.order().first.compares
    teacher = load_network(params) if distils(settings) or compared else None
    folder = CACHE / "training" / stage
    return Trainer(settings, data, validation, device, folder, teacher, task, params.model.pruned, loop)


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
    return isinstance(settings, Tuning) and settings.distillation > 0 and loop_named(settings) is None


def recipe_of(settings: Training) -> Recipe:
    """The library's form of a section's settings."""
    return Recipe(**settings.model_dump(exclude={"device", "trainer"}))


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
            **own_sources(params.task, params.data.source, params.model.name, loop_named(settings) or ""),
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
        for folder in (path for path in (CACHE / "training" / stage).glob("*") if path.is_dir()):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def forget(stage: str, key: str) -> None:
    """Delete the state of a run whose result is kept elsewhere."""
    (CACHE / "training" / stage / f"{key}.pt").unlink(missing_ok=True)
    shutil.rmtree(CACHE / "training" / stage / key, ignore_errors=True)


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
