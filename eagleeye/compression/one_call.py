"""The whole way from a trained network to a smaller one, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from eagleeye.channels import trace
from eagleeye.channels.core import core_inputs, core_of
from eagleeye.compression.candidates import draw_candidates, generations, open_shell
from eagleeye.compression.checks import check_labels, check_network, check_size
from eagleeye.compression.division import Division, Wanted, divide
from eagleeye.compression.progress import Bars, Candidate, Watch
from eagleeye.compression.record import Record
from eagleeye.compression.result import Compressed
from eagleeye.compression.training import Course, finetune, finetune_by, recipe_of
from eagleeye.cost import cost
from eagleeye.data import Batches
from eagleeye.engine import Engine
from eagleeye.engine.method import MEASURED
from eagleeye.errors import BudgetError
from eagleeye.forward.inputs import precision_of
from eagleeye.given import preprocess_of
from eagleeye.given.batched import batched
from eagleeye.given.preparation import own_preprocess
from eagleeye.given.recognise import UnpreparedError
from eagleeye.reconstruction import images_in_turn
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.scoring.measure import measure
from eagleeye.scoring.race import Generations
from eagleeye.search import Memory, search
from eagleeye.strategies import Budget, Strategy
from eagleeye.task import Order, Task
from eagleeye.task.named import task_of
from eagleeye.task.task import Loss
from eagleeye.train import Recipe, Trainer
from eagleeye.train.loop import history_columns
from eagleeye.train.objective import Aim


def compress(  # noqa: PLR0913 - each has a default: what differs from network to network, by name
    model: nn.Module,
    images: Any,
    *,
    core: str = "",
    macs: float | None = None,
    params: float | None = None,
    latency: float | None = None,
    tolerance: float = 0.005,
    task: Task | str = "classification",
    preprocess: Any = None,
    score: str | None = None,
    candidates: int = 100,
    calibration: Wanted = None,
    sub_validation: Wanted = None,
    epochs: int = 0,
    loss: Loss | None = None,
    recipe: Recipe | None = None,
    trainer: Trainer | None = None,
    max_rate: float | None = None,
    multiple: int = 1,
    exclude: Iterable[str] = (),
    equal_parts: bool = False,
    seed: int = 0,
    confirmed: bool = False,
    progress: bool | None = None,
    on_candidate: Callable[[Candidate], None] | None = None,
    resume: str | Path | None = None,
) -> Compressed:
    """Prune a trained network to a budget: the best of many candidates, refitted and recalibrated, ready to be used.

    Args:
        model: The trained network, on its device; left as it is.
        images: Images it was trained on, not those it is to be tested with: a DataLoader, a map-style data set, a
            folder of images, a tensor, or a pair (tensor, labels), as the network takes them in evaluation, without
            augmentation; or a pair (calibration, sub_validation) of any of these. Labels are used where there are any;
            without, candidates are compared with the full network's answers. See `eagleeye.given.collect`.
        core: The name of the module to prune, e.g. `"backbone"` of a detector, which cannot be followed as a whole; see
            `eagleeye.trace`. The whole network is scored, recalibrated and fine-tuned; budgets and costs are of the
            core.
        macs: Budget: multiply-accumulates, up to 1 a fraction of the full network's, above 1 a number.
        params: Budget: parameters, likewise.
        latency: Budget: time for one image on the network's device, measured layer by layer, likewise (above 1:
            milliseconds). All budgets that are given must be met.
        tolerance: Allowed distance from each on either side, as a fraction of the full network's cost.
        task: What the network is for: classification, or fidelity for a network with any outputs and images without
            labels, or another: detection, multilabel, regression, segmentation, one of your own (`eagleeye.task.Task`).
        preprocess: How pictures and bytes become inputs: an `eagleeye.data.Preprocess`, a timm configuration, or the
            transforms of a torchvision weight. None: what a network of timm says of itself; inputs that are ready need
            none.
        score: What decides, one of the task's; of classification accuracy, loss, agreement or divergence; None: the
            first, accuracy, and without labels the first that needs none, agreement.
        candidates: Beside those allocated by error and the evenly pruned one; of 20 or more, nine tenths are
            bred from the best in generations, fewer are all drawn.
        calibration: Images that re-estimate BN statistics: a count, or a fraction of all; None: 512, or a quarter.
        sub_validation: Images that score candidates, likewise; None: 2,048, or a quarter.
        epochs: Of fine-tuning on all images but the sub-validation ones, which choose the best epoch. Half of the loss
            is the divergence from the full network, without labels all of it.
        loss: In the place of the task's in fine-tuning, cross-entropy for instance: from outputs and targets to a
            scalar.
        recipe: Fine-tuning in all its settings, instead of `epochs`.
        trainer: Your own loop instead: `trainer(network, folder, told)` gets a copy of the pruned network in training
            mode and returns it trained. In `folder` it may keep its state, which is there again when a call with
            `resume` goes on; `told({"train_loss": 0.3})` is a row of the history. Its images are its own business:
            scores are those of the sub-validation images, and mean less if it trains on these. Its BN statistics
            stay. See `eagleeye.train.train_by`.
        max_rate: Rates are drawn from [0, max_rate]; None: 0.95, or 1 where that leaves no room.
        multiple: Widths are multiples of it.
        exclude: Patterns of layers whose filters stay, as in `eagleeye.trace`.
        equal_parts: Whether parts of a tensor lose the same channels, likewise, for `result.apply_to`.
        seed: Of the division of the images and of the draws (fine-tuning has its recipe's): the same one, the same
            result.
        confirmed: Go on although the inputs seem not to be what the network was trained with.
        progress: Whether to show how far it is; None: on a terminal and in a notebook.
        on_candidate: Told of every candidate when it is scored; what it raises ends the search.
        resume: A file in which a search that was killed goes on; made where it is missing.

    Returns:
        The network, its score and cost, the ranking, and ways to save it and to report.

    Raises:
        ConfigError: A setting is out of range, or the network does far better on images prepared in another way.
        DataError: The images cannot be used.
        TraceError: The network cannot be followed.
        BudgetError: The budget is out of reach.
        ModelError: It is no network, or has no such core.
        EvaluationError: The network is no better than chance, or its outputs do not fit the labels.
        ArtifactError: The file to resume from cannot be used.
    """
    budget = Budget(macs, params, latency, tolerance)
    task = task_of(task)
    core_of(model, core)
    wanted = {"calibration": calibration, "sub_validation": sub_validation, "seed": seed}
    division = _divided(model, images, preprocess, task, **wanted)
    by = task.order(score, labelled=division.labelled)
    plan = recipe_of(epochs, recipe, loss, division.labelled, trainer)
    with ExitStack() as stack:
        bars = stack.enter_context(Bars(progress))
        engine, remarks = _engine(model, division, task, (tuple(exclude), core, equal_parts), confirmed, bars)
        record = None if resume is None else stack.enter_context(closing(Record(engine, resume)))
        with bars.step("drawing"):
            shell = open_shell(model, engine, budget, max_rate, multiple)
            drawn = draw_candidates(shell, engine, candidates, seed, None if max_rate else remarks)
        watch = Watch(bars, task.usable(division.labelled), on_candidate)
        told = {"score": by.name, "memory": Memory(engine) if record is None else record, "on_candidate": watch}
        ranking = _searched(engine, drawn, *generations(shell, drawn, candidates, seed), told)
        with bars.step("refitting"):
            winner = Strategy.of({str(column): value for column, value in ranking.iloc[0].items()})
            network = _best(model, engine, winner, by)
        # Without labels, the full network's answers take their place where images have a class each.
        chooses = task.order(labelled=division.labelled or task.targets == "class")
        history = pd.DataFrame(columns=history_columns(chooses))
        if plan is not None:
            course = Course(plan, Aim(task, chooses, loss, core), record, bars, tuple(ranking["widths"].iloc[0]))
            history = finetune(network, model, division.training, engine.sub_validation, course)
        elif trainer is not None:
            network, history = finetune_by(trainer, network, record, tuple(ranking["widths"].iloc[0]), bars)
    for line in remarks:
        warnings.warn(line, stacklevel=2)
    fits = (history, len(division.training.rows) if plan is not None else 0)
    return _result(model, network, engine, division, by, ranking, fits, remarks)


def _searched(
    engine: Engine, drawn: list[Strategy], first: list[Strategy], later: Generations | None, told: dict[str, Any]
) -> pd.DataFrame:
    """The ranking of a search in generations; where a small network has too few candidates to breed, of drawn ones."""
    try:
        return search(engine, first, generations=later, **told)
    except BudgetError:
        if later is None:
            raise
    return search(engine, drawn, **told)


def _divided(model: nn.Module, images: Any, preprocess: Any, task: Task, **wanted: Any) -> Division:
    if preprocess is not None:
        return divide(images, preprocess_of(preprocess), task, **wanted)
    try:
        return divide(images, None, task, **wanted)
    except UnpreparedError:
        if (own := own_preprocess(model)) is None:
            raise
        return divide(images, own, task, **wanted)


def _engine(
    model: nn.Module,
    division: Division,
    task: Task,
    traced: tuple[tuple[str, ...], str, bool],
    confirmed: bool,
    bars: Bars,
) -> tuple[Engine, list[str]]:
    """The engine, with images and network checked, and what the user should know."""
    part = division.sub_validation
    remarks = [*part.images.remarks, *check_size(division, part.images.preprocess, confirmed)]
    adapting, scoring = _read(model, division, task, bars)
    example = adapting.in_precision(precision_of(model)).part(0, 1)
    check_labels(model, example, division, task)
    remarks += check_network(model, scoring, part.images.preprocess, task, confirmed)
    with bars.step("tracing"):
        space = trace(model, example, *traced)
        return Engine(model, space, adapting, scoring, task=task, say=remarks.append), remarks


def _read(
    model: nn.Module, division: Division, task: Task, bars: Bars
) -> tuple[Batches[Tensor], Batches[tuple[Tensor, Tensor]]]:
    total = len(division.calibration.rows) + len(division.sub_validation.rows)
    made: list[Batches[Any]] = []
    before = 0
    for part, labelled in ((division.calibration, False), (division.sub_validation, True)):
        read = part.images.read(part.rows, partial(_tell, bars, before, total))
        before += len(part.rows)
        known = part.images.labelled
        made.append(batched(read, model, part.images.preprocess, labelled=labelled, known=known, task=task))
    return made[0], made[1]


def _tell(bars: Bars, before: int, total: int, done: int, _of: int) -> None:
    bars.at("reading images", before + done, total, "images")


def _best(model: nn.Module, engine: Engine, winner: Strategy, by: Order) -> nn.Module:
    """The winner refitted in turn, or as it was scored where that is better: where images are few it can be."""
    batch = images_in_turn(engine.calibration, MEASURED)
    networks = [engine.network(winner, in_turn=batch), engine.network(winner)]
    return max(networks, key=lambda network: by.merits(_scores(network, model, engine)))


def _scores(network: nn.Module, model: nn.Module, engine: Engine) -> dict[str, float]:
    """A network's scores, compared with the full one in its own precision: candidates may have been in a lower one."""
    return predict(network, engine.sub_validation, full=outputs_of(model), task=engine.task).scores


def _result(
    model: nn.Module,
    network: nn.Module,
    engine: Engine,
    division: Division,
    by: Order,
    ranking: pd.DataFrame,
    fits: tuple[pd.DataFrame, int],
    remarks: list[str],
) -> Compressed:
    example = engine.calibration.part(0, 1)
    space = engine.whole.space
    part = division.sub_validation
    found = [_scores(each, model, engine) for each in (network, model)]
    known = engine.task.usable(division.labelled)
    metrics = [
        measure(each, engine.sub_validation, engine.task) if division.labelled else {} for each in (network, model)
    ]
    return Compressed(
        model=network.eval(),
        task=engine.task,
        scored_by=by.name,
        scores={name: found[0][name] for name in known},
        full_scores={name: found[1][name] for name in known},
        metrics=metrics[0],
        full_metrics=metrics[1],
        cost=cost(core_of(network, space.core), core_inputs(network, space.core, example)),
        full_cost=space.full_cost,
        ranking=ranking,
        history=fits[0],
        space=space,
        preprocess=part.images.preprocess,
        classes=part.images.classes,
        images={
            "calibration": len(division.calibration.rows),
            "sub_validation": len(part.rows),
            **({"training": fits[1]} if fits[1] else {}),
        },
        remarks=tuple(remarks),
        full_model=model,
        example=example,
    )
