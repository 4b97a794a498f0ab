"""Minutes of each stage and the disk that a search takes, from what short trials have measured."""

import math
import time

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


def process_start() -> float:
    """Seconds that a process of a stage takes until it begins: this one's own."""
    return time.time() - float(psutil.Process().create_time())


def stage_seconds(params: Params, trial: Trial, times: Timings, start: float) -> dict[str, float]:
    """Seconds of each stage.

    Args:
        params: The settings.
        trial: What was opened.
        times: What was measured.
        start: Seconds that each process takes to begin.
    """
    calibration = len(trial.subset.calibration)
    images = len(trial.subset.sub_validation)
    decoding = trial.decoded * (calibration + images)
    measuring = times.activations.at(min(params.importance.images, calibration))
    opening = decoding + trial.traced + measuring + times.engine
    preparing = start + trial.opened
    watched = sum(path.stat().st_size for files in data_files(params).values() for path in files.values())
    seen = trial.decoded + trial.forward
    baseline = seen * (images + min(LOOKED_AT, images))
    if times.step is not None:
        baseline = trial.decoded * trial.tuned + _training(params.baseline, trial, times.step, trial.forward)
        baseline += seen * images
    return {
        "watch": start + watched / HASHED,
        "subset": preparing + decoding,
        "baseline": preparing + baseline,
        "strategies": start + trial.traced + times.draw * generation_sizes(params)[0] + measuring + times.order,
        "evaluate": start
        + opening
        + trial.forward * (3 * min(IMAGES, images) + images)
        + race_seconds(params, times, Rung(calibration, images)),
        "rank": start,
        "finetune": preparing + opening + _finetuning(params, trial, times),
        "report": start + trial.traced + params.report.latency_repeats * times.latency + PAGE,
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


def _finetuning(params: Params, trial: Trial, times: Timings) -> float:
    many = tuned_networks(params)
    calibration = len(trial.subset.calibration)
    each = times.prune + calibration * times.thin + _training(params.finetune, trial, times.tuning_step, times.thin)
    tests = len(trial.test) * ((many + 1) * trial.decoded + trial.forward + many * times.thin)
    images = trial.decoded * (trial.tuned + len(trial.subset.sub_validation))
    return images + many * (each + times.export) + tests


def _training(settings: Training, trial: Trial, step: float, forward: float) -> float:
    steps = math.ceil(trial.tuned / settings.batch_size)
    return settings.epochs * (steps * step + len(trial.subset.sub_validation) * forward)


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
