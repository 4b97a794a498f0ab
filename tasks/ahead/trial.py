"""What a search begins with, opened for a trial: counts of images, the network, its space, what is within reach."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import nn

from eagleeye.channels import Cost, Space
from eagleeye.data import Batches, ImageSet, Subset, decode, write_subset
from eagleeye.models import load_checkpoint, save_checkpoint
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.strategies import Shell
from tasks.artifacts import BASELINE, CALIBRATION, SUB_VALIDATION
from tasks.inputs.images import choose_device, drawn, open_images, open_subset, preprocess
from tasks.inputs.network import build_network, check_images
from tasks.inputs.preparation import Taken, take
from tasks.inputs.space import open_shell, trace_network
from tasks.inputs.task import check_targets
from tasks.params import Params
from tasks.task_rules import task_for

FEWEST = 32
"""Images of either set that are looked at in any case."""
LONG = 1.5
"""Seconds that the unpruned network may take for the images of a trial."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Trial:
    """What was opened, and how long that took.

    Attributes:
        train: The training images.
        test: The test images.
        subset: The rows that the settings draw.
        prepared: How images become inputs.
        network: The unpruned network, with its weights where there is a checkpoint.
        space: Its search space.
        calibration: Calibration images of the trial, in the file where stages look for them.
        sub_validation: Sub-validation images of the trial, likewise.
        opened: Seconds for opening the images.
        decoded: Seconds per decoded image.
        forward: Seconds per image of the unpruned network.
        traced: Seconds for tracing it.
        pixels: Bytes of a decoded image.
    """

    train: ImageSet
    test: ImageSet
    subset: Subset
    prepared: Taken
    network: nn.Module
    space: Space
    calibration: int
    sub_validation: int
    opened: float
    decoded: float
    forward: float
    traced: float
    pixels: int

    @property
    def tuned(self) -> int:
        """Images that are trained on."""
        return len(self.train) - len(self.subset.sub_validation)


def timed(work: Callable[[], Found]) -> tuple[Found, float]:
    """What some work gives, and its seconds."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def open_trial(params: Params) -> Trial:
    """Open images and network in the working directory, and write what stages would find there.

    Args:
        params: The settings.

    Raises:
        EagleEyeError: Whatever the first stages would refuse.
    """
    (train, test), opened = timed(lambda: open_images(params))
    check_targets(params, train)
    subset = drawn(params, train)
    _write(train, subset, FEWEST, FEWEST)
    prepared = take(params, train, np.concatenate([subset.sub_validation, subset.calibration]))
    prepared.write()
    network = build_network(params)
    check_images(params, network)
    if params.model.checkpoint is not None:
        load_checkpoint(network, Path(params.model.checkpoint))
    save_checkpoint(network, BASELINE)
    space, traced = timed(lambda: trace_network(params, network))
    decoded, forward, pixels = _per_image(params, network)
    fits = int(LONG / forward)
    first = params.evaluate.first_images
    counts = _write(train, subset, *(min(count, max(FEWEST, fits)) for count in first))
    return Trial(train, test, subset, prepared, network, space, *counts, opened, decoded, forward, traced, pixels)


def reach(params: Params, space: Space) -> tuple[Cost, Cost]:
    """The least and the most that a candidate can cost.

    Args:
        params: The settings.
        space: The network's search space.
    """
    wanted = params.strategies
    groups = len(space.groups)
    rates = np.array([[np.nextafter(wanted.max_rate, 0)] * groups, [0.0] * groups])
    costs = space.cost_of(space.widths(rates, wanted.multiple))
    least, most = (Cost(int(macs), int(count)) for macs, count in zip(costs.macs, costs.params, strict=True))
    return least, most


def shell_of(params: Params, trial: Trial) -> Shell:
    """The candidates that meet the budget.

    Raises:
        BudgetError: It is out of reach.
    """
    shell = open_shell(params, trial.network, trial.space)
    shell.check_reachable()
    return shell


def _write(train: ImageSet, subset: Subset, calibration: int, sub_validation: int) -> tuple[int, int]:
    rows = subset.calibration[:calibration], subset.sub_validation[:sub_validation]
    for path, chosen in zip((CALIBRATION, SUB_VALIDATION), rows, strict=True):
        write_subset(path, train, chosen)
    return len(rows[0]), len(rows[1])


def _per_image(params: Params, network: nn.Module) -> tuple[float, float, int]:
    """Seconds to decode an image, seconds of a forward pass, bytes of the decoded image."""
    shape = preprocess(params)
    device = choose_device(params.evaluate.device)
    images, decoding = timed(lambda: decode(open_subset(SUB_VALIDATION), None, shape))
    batches = Batches(images, shape, batch_size=FEWEST, device=device, labelled=True)
    network = network.to(device).eval()
    task = task_for(params)
    full = outputs_of(network) if task.order().first.compares else None
    predict(network, batches, full=full, task=task)
    _, seconds = timed(lambda: predict(network, batches, full=full, task=task))
    count = len(images)
    return decoding / count, seconds / count, images.pixels.numel() // count
