"""How long parts of the stages take here, measured by short trial runs on the real network and images."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from eagleeye.data import Batches
from eagleeye.engine import Engine
from eagleeye.forward.cores import one_thread
from eagleeye.latency.measure import compare_latency
from eagleeye.onnx_export import export_onnx
from eagleeye.program_export import export_program
from eagleeye.strategies import Shell, Strategy, even, sampler, starters
from eagleeye.train import train
from tasks.ahead.trial import Trial, timed
from tasks.artifacts import CALIBRATION, SUB_VALIDATION
from tasks.inputs.evaluator import Evaluator, open_evaluator, scoring_key
from tasks.inputs.images import choose_device, load_subset, preprocess, training_rows
from tasks.inputs.importance import measure_activations
from tasks.inputs.network import load_network
from tasks.inputs.space import core_and_inputs, example_input, generation_sizes
from tasks.params import Params, Training
from tasks.task_rules import task_for
from tasks.work.training import distils, open_data, recipe_of

DRAWN = 10
STEPS = 4
"""Steps of a trial training; the first one, in which memory is set up, does not count."""
PASSES = 5


@dataclass(frozen=True)
class Line:
    """Seconds that grow with an amount.

    Attributes:
        fixed: Of nothing.
        each: More for each.
    """

    fixed: float
    each: float

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> "Line":
        """The line through two measurements, amount and seconds; neither part below zero."""
        each = max(0.0, (large[1] - small[1]) / (large[0] - small[0])) if large[0] > small[0] else 0.0
        each = min(each, large[1] / large[0]) if large[0] else each
        return cls(max(0.0, large[1] - each * large[0]), each)

    def at(self, amount: float) -> float:
        """The seconds of an amount."""
        return self.fixed + self.each * amount


@dataclass(frozen=True)
class Timings:
    """Seconds of parts of the stages on this machine.

    Attributes:
        draw: To draw a candidate.
        activations: To measure what layers read, by calibration images; nothing where that is not wanted.
        order: To order channels by error and allocate widths.
        engine: To open what candidates are scored with, without the activations.
        candidate: For one candidate, by images that go through it: those of all that are scored at a time, shared out.
        prune: To prune a network as fine-tuning finds it.
        step: Of a training step of the unpruned network; None where a checkpoint is given.
        tuning_step: Of a training step of a pruned one; nothing where a loop of the user's own trains it.
        thin: Per image of a pruned network.
        export: To export it.
        latency: For one round of timed passes in the report.
    """

    draw: float
    activations: Line
    order: float
    engine: float
    candidate: Line
    prune: float
    step: float | None
    tuning_step: float
    thin: float
    export: float
    latency: float


def measure(params: Params, trial: Trial, shell: Shell, say: Callable[[str], None]) -> Timings:
    """Try every part.

    Args:
        params: The settings.
        trial: What was opened.
        shell: The candidates that meet the budget.
        say: Told what is tried.

    Raises:
        EagleEyeError: What a stage would refuse.
    """
    say("drawing candidates")
    wanted = params.strategies
    count = min(DRAWN, generation_sizes(params)[0])
    drawn, drawing = timed(
        lambda: sampler(wanted.sampler)(shell, count=count, seed=wanted.seed, max_draws=wanted.max_draws)
    )
    say("measuring activations and ordering channels")
    activations, order = _activations(params, trial, shell)
    say("scoring candidates")
    evaluator, opening = timed(lambda: _evaluator(params))
    candidate = _candidate(evaluator, drawn)
    say("fine-tuning a candidate")
    chosen = (
        even(trial.space, shell.budget, multiple=wanted.multiple, latency=shell.latency) if wanted.even else drawn[0]
    )
    thin, pruning = timed(lambda: evaluator.prune(chosen))
    step = None if params.model.checkpoint else _step(params, params.baseline, trial, trial.network)
    # How long a loop of the user's own takes, it alone knows.
    tuning = 0.0 if params.finetune.trainer else _step(params, params.finetune, trial, thin)
    say("exporting it, and measuring its latency")
    return Timings(
        drawing / count,
        activations,
        order,
        max(0.0, opening - activations.at(min(params.importance.images, trial.calibration))),
        candidate,
        pruning,
        step,
        tuning,
        *_outcome(params, trial, thin.eval()),
    )


def _activations(params: Params, trial: Trial, shell: Shell) -> tuple[Line, float]:
    if not params.importance.measures:
        return Line(0.0, 0.0), 0.0
    network = load_network(params).to(choose_device(params.evaluate.device))
    images, _ = load_subset(params, CALIBRATION)
    counts = [max(1, min(params.importance.images, len(images)) // part) for part in (2, 1)]

    def seconds(count: int) -> float:
        fewer = params.model_copy(update={"importance": params.importance.model_copy(update={"images": count})})
        return timed(lambda: measure_activations(fewer, network, trial.space, images))[1]

    with one_thread():
        small, large = ((count, seconds(count)) for count in counts)
        order = 0.0
        if params.strategies.allocated:
            found = measure_activations(params, network, trial.space, images)
            _, order = timed(lambda: starters(shell, found.errors))
    return Line.through(small, large), order


def _evaluator(params: Params) -> Evaluator:
    if params.evaluate.mode == "paper":  # its batches are as many as are told, whatever images there are
        params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"iterations": 1})})
    return open_evaluator(params, scoring_key(params))


def _candidate(evaluator: Evaluator, drawn: list[Strategy]) -> Line:
    """Seconds per candidate, as many being scored at a time as in a search."""
    engine = evaluator.engine
    vanilla = evaluator.params.evaluate.vanilla
    calibration = len(engine.calibration.labels)
    images = len(engine.sub_validation.labels)
    threads = torch.get_num_threads()
    evaluator.take_a_core()
    try:
        engine.full_outputs()
        sizes = [(max(1, calibration // part), max(1, images // part)) for part in (2, 1)]
        _score(engine, drawn, sizes[0], vanilla)  # what is set up once
        measured = []
        for size in sizes:
            amount = passes(evaluator.params, size[0], size[1], trial=True)
            measured.append((amount, _score(engine, drawn, size, vanilla)))
    finally:
        torch.set_num_threads(threads)
    return Line.through(measured[0], measured[1])


def passes(params: Params, calibration: int, images: int, *, trial: bool = False) -> float:
    """Images that go through a candidate in a rung.

    Args:
        params: The settings.
        calibration: Calibration images that it has not seen in a rung before.
        images: Sub-validation images.
        trial: Whether that is a trial, in which the published protocol recalibrates on a single batch.
    """
    settings = params.evaluate
    if settings.mode == "paper":
        calibration = settings.batch_size * (1 if trial else settings.iterations or 100)
    return calibration + images * (1 + settings.vanilla)


def _score(engine: Engine, drawn: list[Strategy], size: tuple[int, int], vanilla: bool) -> float:
    many = [drawn[place % len(drawn)] for place in range(2 * engine.lanes)]
    started = perf_counter()
    with ThreadPoolExecutor(engine.lanes) as pool:
        for outcome in [
            pool.submit(engine.score, each, calibration=size[0], sub_validation=size[1], vanilla=vanilla)
            for each in many
        ]:
            outcome.result()
    return (perf_counter() - started) / len(many)


def _step(params: Params, settings: Training, trial: Trial, network: nn.Module) -> float:
    """Seconds of a step of a training run."""
    device = choose_device(settings.device)
    recipe = replace(recipe_of(settings), epochs=1, warmup_epochs=0)
    rows = training_rows(len(trial.train), trial.subset.sub_validation)[: STEPS * recipe.batch_size]
    data = open_data(params, settings, trial.train, rows, device)
    teacher = load_network(params) if distils(settings) else None
    times: list[float] = []
    train(
        copy.deepcopy(network).to(device),
        data,
        [next(iter(_validation(params, settings, device)))],
        recipe,
        device=device,
        teacher=teacher,
        task=task_for(params),
        core=params.model.pruned,
        on_step=lambda *_: times.append(perf_counter()),
    )
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0


def _validation(params: Params, settings: Training, device: torch.device) -> "Batches[tuple[Tensor, Tensor]]":
    images, _ = load_subset(params, SUB_VALIDATION)
    return Batches(images, preprocess(params), batch_size=settings.batch_size, device=device, labelled=True)


def _outcome(params: Params, trial: Trial, thin: nn.Module) -> tuple[float, float, float]:
    """Seconds per image of a pruned network, of its export, and of a round of the report's passes."""
    example = example_input(params)
    device = choose_device(params.evaluate.device)
    settings = params.report
    table = compare_latency(
        {"full": trial.network.to(device), "thin": thin.to(device)},
        example.to(device),
        batch_sizes=settings.latency_batch_sizes,
        repeats=PASSES,
        warmup=1,
    )
    per_image = trial.forward * table["median_ms"].iloc[-1] / table["median_ms"].iloc[-2]

    def export() -> None:
        core, inputs = core_and_inputs(params, thin.cpu())
        export_onnx(core, inputs, Path("thin.onnx"))
        export_program(core, inputs, Path("thin.pt2"))

    _, exporting = timed(export)
    return float(per_image), exporting, float(table["median_ms"].sum()) / 1000
