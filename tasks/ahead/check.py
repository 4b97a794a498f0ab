"""check: what a search would do, how long it would take and how much disk, without running any of it."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from eagleeye.channels import Cost, Space
from eagleeye.project.library import require_same
from tasks.ahead.beside import beside
from tasks.ahead.forecast import (
    FACTOR,
    amounts_of,
    candidates,
    disk_bytes,
    duration,
    process_start,
    stage_seconds,
    tuned_networks,
    without,
)
from tasks.ahead.timing import measure
from tasks.ahead.trial import Trial, open_trial, reach, shell_of
from tasks.inputs.images import choose_device
from tasks.inputs.input_size import check_input_size
from tasks.params import Params
from tasks.run.console import Terminal
from tasks.settings import read_params

MOST = 12


def run(_: Sequence[str]) -> None:
    """Print what a search would do.

    Raises:
        EagleEyeError: What a stage would refuse, in the words of that stage.
    """
    start = process_start()
    project = Path.cwd()
    require_same(project)
    params = read_params(project / "params.yaml")
    with beside(project):
        trial = open_trial(params)
        check_input_size(params, trial.prepared.shape, trial.train, trial.subset.sub_validation, Terminal())
        _print(_described(params, trial))
        shell = shell_of(params, trial)
        print(f"budget: {shell} is within reach", flush=True)
        times = measure(params, trial, shell, _tell)
        thin = Cost(*(int(value) for value in _target(params, trial.space)))
        _print(_minutes(params, stage_seconds(params, amounts_of(params, trial), times, start)))
        _print(_disk(disk_bytes(params, trial, thin), project))


def _described(params: Params, trial: Trial) -> Iterator[str]:
    subset = trial.subset
    space = trial.space
    yield (
        f"images: {len(trial.train):,} to train on ({len(subset.calibration):,} for calibration,"
        f" {len(subset.sub_validation):,} for sub-validation, {trial.tuned:,} for fine-tuning), {len(trial.test):,} to"
        f" test, {len(trial.train.classes)} classes"
    )
    yield f"inputs: {trial.prepared}"
    weights = params.model.checkpoint or "trained by the stage baseline"
    core = f", of which {params.model.core} is pruned" if params.model.core else ""
    yield f"network: {params.model.name}{core}, weights: {weights}"
    yield f"would be pruned: {space}"
    yield from (f"would not be pruned: {reason}" for reason in space.left_out[:MOST])
    if len(space.left_out) > MOST:
        yield f"would not be pruned: {len(space.left_out) - MOST} more convolutions"
    yield from (f"could not be saved: {reason}" for reason in space.unstorable)
    least, most = reach(params, space)
    full = space.full_cost
    yield (
        f"within reach with max_rate {params.strategies.max_rate}: {_range(least.macs, most.macs, full.macs)} MACs,"
        f" {_range(least.params, most.params, full.params)} parameters"
    )


def _range(least: int, most: int, full: int) -> str:
    return f"{least:,} to {most:,} ({least / full:.1%} to {most / full:.1%})"


def _target(params: Params, space: Space) -> tuple[float, float]:
    """About what a pruned network costs: what the budget does not limit shrinks as much as what it does."""
    wanted = params.strategies.budget
    full = space.full_cost
    shares = [
        value if value <= 1 else value / whole
        for value, whole in ((wanted.macs, full.macs), (wanted.params, full.params))
        if value is not None
    ]
    share = min([1.0, *shares])
    return full.macs * share, full.params * share


def _minutes(params: Params, seconds: dict[str, float]) -> Iterator[str]:
    device = choose_device(params.evaluate.device).type
    yield (
        f"minutes on this machine ({device}), by trials of a second on your network and images; {candidates(params)}"
        f" candidates, {tuned_networks(params)} fine-tuned networks:"
    )
    yield from (f"  {name:<12}{duration(value)}" for name, value in seconds.items())
    total = sum(seconds.values())
    yield (
        f"  {'together':<12}{duration(total)}; take it for {duration(total / FACTOR).strip()} to"
        f" {duration(total * FACTOR).strip()}: other programs make it longer, scores on record shorter{without(params)}"
    )


def _disk(sizes: dict[str, int], project: Path) -> Iterator[str]:
    total = sum(sizes.values())
    free = shutil.disk_usage(project).free
    parts = ", ".join(f"{_size(size)} in {name}" for name, size in sizes.items())
    yield f"disk: about {_size(total)} ({parts}); {_size(free)} are free here"
    if total > free:
        yield "warning: that does not fit: make room, or move the project"


def _size(count: float) -> str:
    unit, power = next(((unit, power) for unit, power in (("GB", 9), ("MB", 6)) if count >= 10**power), ("kB", 3))
    return f"{count / 10**power:.1f} {unit}"


def _print(lines: Iterator[str]) -> None:
    print("\n".join(lines), flush=True)


def _tell(line: str) -> None:
    print(f"trying: {line} …", file=sys.stderr, flush=True)
