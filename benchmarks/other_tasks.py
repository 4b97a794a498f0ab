"""Networks of other tasks pruned: the winner of a search against the evenly pruned network, fine-tuned alike.

    python -m benchmarks.other_tasks [--tasks segmentation ...] [--budgets 0.5 0.25] [--seeds 3]

Scenes of digits; networks, searches and fine-tunings take half an hour on a core. A row of
`results/other_tasks.csv` for every network and metric; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from benchmarks.finetuning import read
from benchmarks.scene_networks import Count, Labels, UNet, boxes
from benchmarks.scenes import Scenes, make_scenes
from benchmarks.subjects import CACHE
from eagleeye.channels.core import core_inputs, core_of
from eagleeye.compression.training import CollectedData
from eagleeye.given import collect
from eagleeye.models import load_checkpoint, save_checkpoint
from eagleeye.scoring.measure import measure
from eagleeye.task import Task
from eagleeye.task.named import TASKS
from eagleeye.train import Recipe, train

RESULTS = Path(__file__).parent / "results" / "other_tasks.csv"
COLUMNS = ("task", "budget", "seed", "network", "macs", "metric", "value", "score_before")
KINDS = {"segmentation": UNet, "multilabel": Labels, "regression": Count, "detection": boxes}
CORES = {"detection": "backbone"}
CALIBRATION, SUB_VALIDATION, TRAINING, TEST = 256, 400, 1500, 1000
CANDIDATES, GENERATIONS = 48, 6
EPOCHS, TUNING = 20, 5
CPU = torch.device("cpu")


def targets(task: str, found: Scenes) -> Any:
    """What a task is about."""
    if task == "detection":
        return [{"boxes": each[:, :4], "labels": each[:, 4].long()} for each in found.boxes]
    return {"segmentation": found.masks, "multilabel": found.labels, "regression": found.counts}[task]


def some(wanted: Any, rows: Tensor) -> Any:
    """The targets of some scenes."""
    return [wanted[row] for row in rows] if isinstance(wanted, list) else wanted[rows]


@cache
def trained(task: str) -> nn.Module:
    """A network that has been trained as long as it gets better; another CPU trains another one."""
    path = CACHE / f"scenes_{task}.safetensors"
    torch.manual_seed(0)
    model = KINDS[task]()
    if not path.is_file():
        _train(model, task)
        CACHE.mkdir(exist_ok=True)
        save_checkpoint(model, path)
    load_checkpoint(model, path)
    return model.eval()


def _train(model: nn.Module, task: str) -> None:
    found = make_scenes(TRAINING, seed=1)
    model.train()
    wanted = targets(task, found)
    losses = {
        "segmentation": F.cross_entropy,
        "multilabel": F.binary_cross_entropy_with_logits,
        "regression": F.mse_loss,
    }
    optimizer = torch.optim.AdamW(model.parameters(), 0.004)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(TRAINING).split(32):
            optimizer.zero_grad()
            if task in losses:
                loss = losses[task](model(found.images[rows]), wanted[rows])
            else:
                loss = sum(model(found.images[rows], some(wanted, rows)).values())
            loss.backward()
            optimizer.step()
        schedule.step()


def rows(name: str, budget: float, seed: int) -> Iterator[dict[str, object]]:
    """The winner of a search and the evenly pruned network, after the same fine-tuning, on test scenes."""
    task, model, found = TASKS[name], trained(name), make_scenes(TRAINING, seed=1)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(TRAINING))
    scoring, others = order[:SUB_VALIDATION], order[SUB_VALIDATION:]
    wanted = targets(name, found)
    core = CORES.get(name, "")
    space = eagleeye.trace(model, found.images[:1], core=core)
    engine = eagleeye.Engine(
        model, space, found.images[others[:CALIBRATION]], (found.images[scoring], some(wanted, scoring)), task=task
    )
    shell = eagleeye.Shell(space, eagleeye.Budget(macs=budget, tolerance=0.01), max_rate=0.95)
    even = eagleeye.even(space, shell.budget)
    drawn = eagleeye.starters(shell, engine.method.refit.errors)
    drawn += eagleeye.sampler("uniform")(shell, count=CANDIDATES // GENERATIONS, seed=seed)
    later = eagleeye.Generations(shell, [CANDIDATES // GENERATIONS] * (GENERATIONS - 1), seed=seed)
    ranking = eagleeye.search(engine, drawn, generations=later)
    scores = {
        tuple(widths): score for widths, score in zip(ranking["widths"], ranking[ranking["ranked_by"][0]], strict=True)
    }
    for label, widths in (("winner", tuple(ranking["widths"][0])), ("even", even.widths)):
        network = engine.network(widths, in_turn=found.images[others[:CALIBRATION]])
        _finetune(network, model, engine, (found.images[others], some(wanted, others)), seed)
        inputs = core_inputs(network, core, found.images[:1])
        macs = eagleeye.cost(core_of(network, core), inputs).macs / space.full_cost.macs
        facts = {"task": name, "budget": budget, "seed": seed, "network": label, "macs": macs}
        yield from (
            facts | measured | {"score_before": scores.get(widths, "")} for measured in _measured(network, task)
        )


def _finetune(
    network: nn.Module, model: nn.Module, engine: eagleeye.Engine, images: tuple[Tensor, Any], seed: int
) -> None:
    task = engine.task
    core = engine.whole.space.core
    collection = collect(images, task=task)
    data = CollectedData(collection, np.arange(len(collection)), CPU)
    recipe = Recipe(TUNING, batch_size=32, augment="none", distillation=0.5, mixed_precision=False, seed=seed)
    train(network, data, engine.sub_validation, recipe, device=CPU, teacher=model, task=task, core=core)


def _measured(network: nn.Module, task: Task) -> list[dict[str, object]]:
    test = make_scenes(TEST, seed=2, test=True)
    wanted = targets(task.name, test)
    batches = [(test.images[rows], some(wanted, rows)) for rows in torch.arange(TEST).split(100)]
    return [{"metric": name, "value": value} for name, value in measure(network, batches, task).items()]


def main() -> None:
    """Add a row for every network and metric that is missing, as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.5, 0.25])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = {(row["task"], float(row["budget"]), row["seed"]) for row in read(RESULTS)}
    for name in options.tasks:
        wanted = list(itertools.product(options.budgets, range(options.seeds)))
        missing = [(budget, seed) for budget, seed in wanted if (name, budget, str(seed)) not in known]
        if missing:
            _put_full(name)
        for budget, seed in missing:
            _add(rows(name, budget, seed))


def _put_full(name: str) -> None:
    """Put the full network on record; the one that is there must be the same, or nothing could be compared."""
    found = [
        {"task": name, "budget": 1, "network": "full", "macs": 1, **each}
        for each in _measured(trained(name), TASKS[name])
    ]
    there = {
        row["metric"]: float(row["value"]) for row in read(RESULTS) if (row["task"], row["network"]) == (name, "full")
    }
    if not there:
        _add(found)
    elif there != {row["metric"]: row["value"] for row in found}:
        raise SystemExit(f"{name}: the rows in {RESULTS} are of another network, trained elsewhere; remove them")


def _add(found: Iterable[dict[str, object]]) -> None:
    """Put all rows of a search on record at once: half of them would pass for all."""
    complete = list(found)
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        if not file.tell():
            writer.writeheader()
        writer.writerows(complete)
    for row in complete:
        print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
