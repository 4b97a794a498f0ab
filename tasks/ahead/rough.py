"""Roughly how long the rest of a run takes, said when a long stage begins: judged by a few forward passes."""

import json
import time

import torch

from eagleeye.data import Batches, Images, decode
from eagleeye.data.subset import SubsetImages
from eagleeye.scoring.evaluate import outputs_of, predict
from tasks.ahead.forecast import FACTOR, Amounts, duration, stage_seconds, without
from tasks.ahead.timing import Line, Timings
from tasks.artifacts import CALIBRATION, COUNTS, SUB_VALIDATION
from tasks.inputs.images import choose_device, open_subset, preprocess
from tasks.inputs.network import build_network
from tasks.params import Params, Training
from tasks.task_rules import task_for

IMAGES = 128
SECONDS = 1.0
"""Of forward passes, at most, but for the first one."""
BACKWARD = 2
"""Forward passes that a backward pass takes."""
DRAW = 0.02
TRACE = 1.0
EXPORT = 6.0
"""Seconds that do not depend on the network much, as they were for small ones."""


def rest(stage: str, params: Params, start: float) -> str | None:
    """What to say when a stage begins.

    Args:
        stage: Its name.
        params: The settings.
        start: Seconds that each process takes to begin.

    Returns:
        A line; None where the stage subset has not counted the images here, as DVC brought its outputs along.

    Raises:
        EagleEyeError: What the stage would refuse.
    """
    if not COUNTS.is_file():
        return None
    there = _amounts(params)
    seconds = stage_seconds(params, there, _timings(params, there), start)
    names = list(seconds)
    left = {name: seconds[name] for name in names[names.index(stage) :]}
    parts = ", ".join(f"{name} {duration(value).strip()}" for name, value in left.items() if value >= 3)
    total = sum(left.values())
    return (
        f"{stage}: from here to the report roughly {duration(total).strip()} ({parts}), judged by a few forward passes:"
        f" take it for {duration(total / FACTOR).strip()} to {duration(total * FACTOR).strip()}{without(params)}"
    )


def _amounts(params: Params) -> Amounts:
    counts = json.loads(COUNTS.read_text(encoding="utf-8"))
    calibration, sub_validation = open_subset(CALIBRATION), open_subset(SUB_VALIDATION)
    images, decoded = _decoded(params, sub_validation)
    return Amounts(
        tuned=counts["train"] - len(sub_validation),
        calibration=len(calibration),
        sub_validation=len(sub_validation),
        test=counts["test"],
        watched=0,
        opened=0.0,
        decoded=decoded,
        forward=_forward(params, images),
        traced=TRACE,
    )


def _decoded(params: Params, subset: SubsetImages) -> tuple[Images, float]:
    started = time.perf_counter()
    images = decode(subset, list(range(min(IMAGES, len(subset)))), preprocess(params))
    return images, (time.perf_counter() - started) / len(images)


def _forward(params: Params, images: Images) -> float:
    """Seconds per image of the unpruned network; what its weights are does not matter."""
    device = choose_device(params.evaluate.device)
    with torch.random.fork_rng():
        network = build_network(params).to(device).eval()
    batches = Batches(images, preprocess(params), batch_size=32, device=device, labelled=True)
    task = task_for(params)
    full = outputs_of(network) if task.order().first.compares else None
    predict(network, [next(iter(batches))], full=full, task=task)  # what is set up once
    seen = 0
    started = time.perf_counter()
    for batch in batches:
        predict(network, [batch], full=full, task=task)
        seen += len(batch[1])
        if time.perf_counter() - started > SECONDS:
            break
    return (time.perf_counter() - started) / seen


def _timings(params: Params, there: Amounts) -> Timings:
    forward = there.forward
    # Less than it would be by the MACs: what surrounds the products remains.
    thin = forward * _share(params) ** 0.5
    measured = forward if params.importance.measures else 0.0
    in_turn = params.importance.images * forward * (1 + BACKWARD) if params.importance.refit == "in_turn" else 0.0
    teacher = forward if params.finetune.distillation else 0.0

    def step(settings: Training, each: float) -> float:
        return settings.batch_size * (1 + BACKWARD) * each

    return Timings(
        draw=DRAW,
        activations=Line(0.0, measured),
        order=TRACE,
        engine=TRACE,
        candidate=Line(0.0, thin),
        prune=in_turn,
        thin=thin,
        export=EXPORT,
        step=None if params.model.checkpoint else step(params.baseline, forward),
        tuning_step=step(params.finetune, thin) + params.finetune.batch_size * teacher,
        latency=sum(params.report.latency_batch_sizes) * (forward + thin),
    )


def _share(params: Params) -> float:
    budget = params.strategies.budget
    targets = (budget.macs, budget.params, budget.latency)
    return min((value for value in targets if value is not None and value <= 1), default=1.0)
