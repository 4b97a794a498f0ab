"""Minutes of each stage and the disk that a search takes, from what short trials have measured."""

import math
import time
from dataclasses import dataclass

import psutil

from eagleeye.channels import Cost
from eagleeye.scoring.racing import Rung, places
from tasks.ahead.timing import Timings, passes
from tasks.ahead.trial import Trial
from tasks.artifacts import CALIBRATION, SUB_VALIDATION
from tasks.inputs.evaluator import rungs_of
from tasks.inputs.preflight import IMAGES
from tasks.inputs.space import generation_sizes
from tasks.inputs.trial import LOOKED_AT
from tasks.inputs.watched import data_files
from tasks.params import Params, Training

FACTOR = 2
"""Within which the minutes were right, up or down, where they were compared with whole runs."""
ALLOCATED = 5
"""Candidates that are allocated or filled up, at most."""
HASHED = 400e6
"""Bytes that are hashed in a second; another time only what has changed since."""
PAGE = 5.0
"""Seconds for figures and the page of the report."""
WEIGHT = 4
STATES = 3
"""Copies of the weights in the state of a training run: theirs, the momentum and the best epoch's."""
PICTURES = 2_000_000
"""Bytes of the report's page, of figures and of the graphs in files of pruned networks; MLflow's take as many again."""
FILES = 3
"""Files of each fine-tuned network: safetensors, ONNX, torch.export."""


@dataclass(frozen=True)
class Amounts:
    """How much there is, and what an image of it takes.

    Attributes:
        tuned: Images that are trained on.
        calibration: Calibration images.
        sub_validation: Sub-validation images.
        test: Test images.
        watched: Bytes of the files that are watched.
        opened: Seconds for opening the images.
        decoded: Seconds per decoded image.
        forward: Seconds per image of the unpruned network.
        traced: Seconds for tracing it.
    """

    tuned: int
    calibration: int
    sub_validation: int
    test: int
    watched: int
    opened: float
    decoded: float
    forward: float
    traced: float


def amounts_of(params: Params, trial: Trial) -> Amounts:
    """What a trial has found.

    Args:
        params: The settings.
        trial: What was opened.
    """
    return Amounts(
        trial.tuned,
        len(trial.subset.calibration),
        len(trial.subset.sub_validation),
        len(trial.test),
        sum(path.stat().st_size for files in data_files(params).values() for path in files.values()),
        trial.opened,
        trial.decoded,
        trial.forward,
        trial.traced,
    )


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them, in a column."""
    if seconds >= 36_000:
        return f"{seconds / 3600:6.0f} h"
    if seconds >= 5_400:
        return f"{seconds / 3600:6.1f} h"
    return f"{seconds / 60:6.1f} min"


def process_start() -> float:
    """Seconds that a process of a stage takes until it begins: this one's own."""
    return time.time() - float(psutil.Process().create_time())


def without(params: Params) -> str:
    """What minutes do not hold, as the end of a line."""
    return f"; without the time of {params.finetune.trainer}" if params.finetune.trainer else ""


def stage_seconds(params: Params, there: Amounts, times: Timings, start: float) -> dict[str, float]:
    """Seconds of each stage.

    Args:
        params: The settings.
        there: How much there is.
        times: What was measured.
        start: Seconds that each process takes to begin.
    """
    images = there.sub_validation
    decoding = there.decoded * (there.calibration + images)
    measuring = times.activations.at(min(params.importance.images, there.calibration))
    opening = decoding + there.traced + measuring + times.engine
    preparing = start + there.opened
    seen = there.decoded + there.forward
    baseline = seen * (images + min(LOOKED_AT, images))
    if times.step is not None:
        baseline = there.decoded * there.tuned + _training(params.baseline, there, times.step, there.forward)
        baseline += seen * images
    return {
        "watch": start + there.watched / HASHED,
        "subset": preparing + decoding,
        "baseline": preparing + baseline,
        "strategies": start + there.traced + times.draw * generation_sizes(params)[0] + measuring + times.order,
        "evaluate": start
        + opening
        + there.forward * (3 * min(IMAGES, images) + images)
        + race_seconds(params, times, Rung(there.calibration, images)),
        "rank": start,
        "finetune": preparing + opening + _finetuning(params, there, times),
        "report": start + there.traced + params.report.latency_repeats * times.latency + PAGE,
    }


def race_seconds(params: Params, times: Timings, last: Rung) -> float:
    """Seconds of the race, if as many candidates go on from rung to rung as can.

    Args:
        params: The settings.
        times: What was measured.
        last: All images there are.
    """
    running = candidates(params)
    total = times.draw * params.strategies.count
    before = 0
    for rung in rungs_of(params, running, last):
        total += running * times.candidate.at(passes(params, rung.calibration - before, rung.sub_validation))
        running = min(running, places(running))
        before = rung.calibration
    return total


def candidates(params: Params) -> int:
    """Candidates that start, at most."""
    wanted = params.strategies
    return wanted.count + wanted.even + ALLOCATED * wanted.allocated


def tuned_networks(params: Params) -> int:
    """Networks that are fine-tuned, at most."""
    return params.rank.top_k + params.strategies.even


def _finetuning(params: Params, there: Amounts, times: Timings) -> float:
    many = tuned_networks(params)
    each = times.prune + there.calibration * times.thin
    if params.finetune.trainer is None:
        each += _training(params.finetune, there, times.tuning_step, times.thin)
    tests = there.test * ((many + 1) * there.decoded + there.forward + many * times.thin)
    images = there.decoded * (there.tuned + there.sub_validation)
    return images + many * (each + times.export) + tests


def _training(settings: Training, there: Amounts, step: float, forward: float) -> float:
    steps = math.ceil(there.tuned / settings.batch_size)
    return settings.epochs * (steps * step + there.sub_validation * forward)


def disk_bytes(params: Params, trial: Trial, thin: Cost) -> dict[str, int]:
    """Bytes that a search takes in the project's folder.

    Args:
        params: The settings.
        trial: What was opened.
        thin: What a pruned network costs.

    Returns:
        By folder.
    """
    calibration = len(trial.subset.calibration)
    images = len(trial.subset.sub_validation)
    per_image = sum(path.stat().st_size for path in (CALIBRATION, SUB_VALIDATION)) / (
        trial.calibration + trial.sub_validation
    )
    full = WEIGHT * trial.space.full_cost.params
    small = WEIGHT * thin.params
    many = tuned_networks(params)
    artifacts = int(per_image * (calibration + images)) + full + many * FILES * small + PICTURES
    trainings = many * STATES * small + (0 if params.model.checkpoint else STATES * full)
    evidence = candidates(params) * 4 * images
    return {
        "artifacts/": artifacts,
        ".dvc/cache/": artifacts,
        ".eagleeye/": trial.pixels * (calibration + images) + trainings + evidence,
        "mlruns/ and mlflow.db": FILES * small + 2 * PICTURES,
    }
