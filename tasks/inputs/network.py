"""The unpruned network that the settings describe."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from eagleeye.channels.core import core_call
from eagleeye.data.targets import targets_of, usable
from eagleeye.errors import ConfigError, EvaluationError, ModelError
from eagleeye.forward.inputs import precision_of
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import run
from eagleeye.models import build, load_checkpoint
from eagleeye.models.build import takes_classes
from eagleeye.references import resolve
from eagleeye.saving.artifact import load
from eagleeye.task import Task
from tasks.artifacts import BASELINE, SUB_VALIDATION, require
from tasks.inputs.images import open_subset, preprocess
from tasks.inputs.space import example_input
from tasks.params import Params
from tasks.task_rules import task_for


def build_network(params: Params) -> nn.Module:
    """The network with fresh weights, one output per class of the data unless model.options has num_classes.

    Several labels or numbers for each image count as so many classes. Data without either leave it to model.options.

    A factory of one's own need not take num_classes; how many outputs its network has is seen by `check_images`.

    Raises:
        ConfigError: num_classes is below the number of classes, or the factory takes none.
        ModelError: It cannot be built, or is not float32.
    """
    classes = len(open_subset(SUB_VALIDATION).classes)
    options = {"num_classes": classes or None} | params.model.options
    # What is no number is refused by `build`.
    if isinstance(options["num_classes"], int) and options["num_classes"] < classes:
        raise ConfigError(
            f"model.options.num_classes is {options['num_classes']}, but the data have {classes} classes: give at "
            "least as many, or leave it out"
        )
    name = params.model.name
    if "num_classes" in params.model.options and ":" in name and not takes_classes(resolve(name, ModelError)):
        raise ConfigError(
            f"model.options.num_classes is {options['num_classes']}, but {name} takes no num_classes: leave it out"
        )
    network = build(name, **options)
    precision = precision_of(network)
    if precision != torch.float32:
        raise ModelError(
            f"model {name}: its weights are {str(precision).removeprefix('torch.')}; the stages train and"
            " search in float32: let the factory return network.float()"
        )
    return network


def check_images(params: Params, network: nn.Module) -> None:
    """Check that a network takes the images as they are prepared, gives what the task wants, and calls its core.

    Raises:
        ModelError: It does not.
    """
    image = example_input(params)
    try:
        with evaluating(network), torch.inference_mode():
            outputs = run(network, image)
    except EvaluationError as error:
        raise ModelError(
            f"{error}: set data.preprocess to what the network was trained with (images have {image.shape[1]} channels,"
            " one for each value of mean and std)"
        ) from error
    task = task_for(params)
    targets = _targets(params, task, outputs)
    try:
        task.check(outputs, targets)
        task.check_images(network, image, targets)
    except EvaluationError as error:
        raise ModelError(f"model {params.model.name}: {error}") from error
    core_call(network, params.model.pruned, image)


def _targets(params: Params, task: Task, outputs: Any) -> Any:
    """What the outputs for the first image are to fit: of classes and boxes, those of all images."""
    images = open_subset(SUB_VALIDATION)
    if task.targets == "class":
        return torch.from_numpy(images.labels)
    if task.targets == "none":
        return task.answers(outputs)
    rows = np.arange(len(images) if task.targets == "list" else 1)
    return usable(targets_of(images, rows, preprocess(params)))


def load_network(params: Params) -> nn.Module:
    """The network with its trained weights, in evaluation mode.

    Raises:
        CheckpointError: The weights do not fit.
    """
    require(BASELINE)
    network = build_network(params)
    load_checkpoint(network, BASELINE)
    return network.eval()


def load_pruned(params: Params, path: Path) -> nn.Module:
    """A network that was saved after its fine-tuning, whole: where a core was pruned, around the one of the settings.

    Args:
        params: The settings.
        path: Its safetensors file.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    return load(path, into=build_network(params)) if params.model.core else load(path)
