"""finetune: the best candidates, and the evenly pruned network for comparison, trained on and tested once."""

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from eagleeye.data import ImageSet, read_subset
from eagleeye.onnx_export import export_onnx
from eagleeye.program_export import export_program
from eagleeye.saving.artifact import save
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.scoring.measure import leading
from eagleeye.task import Order
from eagleeye.train import TrainResult, current_share
from eagleeye.train.distributed import process_group
from tasks.artifacts import (
    BASELINE,
    FINETUNE,
    FINETUNE_HISTORY,
    PRUNED,
    RANKING,
    RESULTS,
    SUB_VALIDATION,
    read_table,
    rows_of,
    write_table,
)
from tasks.inputs.candidates import competing, is_reference
from tasks.inputs.evaluator import Evaluator, open_evaluator, scoring_key
from tasks.inputs.images import facts_of as shape_facts
from tasks.inputs.images import open_images, preprocess
from tasks.inputs.network import load_network
from tasks.inputs.space import core_and_inputs, cost_of
from tasks.params import Params
from tasks.record.beside import recording
from tasks.run.context import Context
from tasks.run.pulse import doing
from tasks.task_rules import chosen_by
from tasks.work.testing import score_on_test
from tasks.work.training import Told, Trainer, forget_all_but, open_trainer, training_key


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned candidate.

    Attributes:
        row: Its row of the ranking.
        network: The network.
        training: How its training went.
        metric: The task's metric of all sub-validation images, larger is better; None where it has none.
    """

    row: dict[str, Any]
    network: nn.Module
    training: TrainResult
    metric: float | None = None


def run(params: Params, context: Context) -> None:
    """Fine-tune, test and save; the one place where the test set is looked at.

    Raises:
        EvaluationError: The training diverged.
        ArtifactError: A result cannot be written.
    """
    chosen = _chosen(read_table(RANKING), params.rank.top_k)
    keys = {row["id"]: training_key(params, params.finetune, start_of(params, row)) for row in chosen}
    forget_all_but("finetune", keys.values())
    doing("tracing the network and measuring what layers read")
    evaluator = open_evaluator(params, scoring_key(params))
    trainer = open_trainer(params, params.finetune, "finetune")
    # One group of processes for all trainings: under torchrun a second one could not find its members.
    with recording("finetune", params, context) as progress:
        epochs = partial(progress.epochs, settings=params.finetune.model_dump(mode="json"))
        with process_group(trainer.device):
            tuned = [tune(row, evaluator, trainer, keys[row["id"]], context, epochs(row["id"])) for row in chosen]
        if current_share().rank > 0:  # under torchrun the first process writes
            return
        doing("testing")
        results = _test_all(params, tuned, trainer, context)
        for entry, result in zip(tuned, results[1:], strict=True):
            save_pruned(params, entry.network, result)
        doing("recording")
        write_table(RESULTS, pd.DataFrame(results), trainer.task)
        write_table(FINETUNE_HISTORY, pd.concat([_history(entry) for entry in tuned]), trainer.task)


def _chosen(ranking: pd.DataFrame, top_k: int) -> list[dict[str, Any]]:
    best = (ranking["rank"] <= top_k).fillna(False)
    return rows_of(ranking[best | is_reference(ranking)])


def start_of(params: Params, row: dict[str, Any]) -> dict[str, Any]:
    """What a candidate's fine-tuning starts from, for `training_key`."""
    # A candidate goes into training with the baseline's weights and BN statistics of the calibration images.
    return {"scoring": scoring_key(params), "widths": [int(width) for width in row["widths"]]}


def tune(
    row: dict[str, Any], evaluator: Evaluator, trainer: Trainer, key: str, context: Context, told: Told = lambda _: None
) -> Tuned:
    """Prune, recalibrate and fine-tune a candidate.

    Args:
        row: Its row of the ranking.
        evaluator: What scored it.
        trainer: What all trainings share.
        key: From `training_key`.
        context: Shows the progress.
        told: Given the history so far after each epoch.
    """
    network = evaluator.prune(row["rates"])
    evaluator.adapt(network)
    training = trainer.train(f"fine-tuning {row['id']}", network, key, context, told)
    return Tuned(row, network, training, leading(network, trainer.validation, trainer.task))


def winner(params: Params, tuned: list[Tuned]) -> Tuned:
    """The fine-tuned network that is the result: the best on the sub-validation images of those that compete.

    By the task's metric of the whole set, mIoU say, where there is one, else by what chose the best epoch.

    Args:
        params: The settings.
        tuned: All that were fine-tuned, the evenly pruned network among them.
    """
    names = set(competing(params, pd.DataFrame([entry.row for entry in tuned]))["id"])
    sign = chosen_by(params).first.sign
    return max((entry for entry in tuned if entry.row["id"] in names), key=lambda entry: _merit(entry, sign))


def _merit(entry: Tuned, sign: int) -> tuple[float, float]:
    # The test set does not choose. Whoever is out of the race is last among equals.
    score = sign * entry.training.best_score if entry.metric is None else entry.metric
    return score, -math.inf if pd.isna(entry.row["rank"]) else -entry.row["rank"]


def _history(entry: Tuned) -> pd.DataFrame:
    return entry.training.history.assign(id=entry.row["id"])


def _test_all(params: Params, tuned: list[Tuned], trainer: Trainer, context: Context) -> list[dict[str, Any]]:
    _, test = open_images(params)
    baseline = load_network(params).to(trainer.device)
    best = winner(params, tuned)
    results = []
    with context.progress("testing", len(tuned) + 1, "networks") as advance:
        facts = {"id": "baseline", "role": "baseline", "rank": pd.NA, "file": BASELINE, "best_epoch": pd.NA}
        by = chosen_by(params)
        found = predict(baseline, trainer.validation, full=outputs_of(baseline), task=trainer.task)
        facts[f"validation_{by.name}"] = found.scores[by.name]
        results.append(measured(params, baseline, test, trainer, facts))
        advance()
        for entry in tuned:
            facts = facts_of(entry, "other", FINETUNE, by)
            if entry is best:
                facts |= {"role": "pruned", "file": PRUNED}
            results.append(measured(params, entry.network, test, trainer, facts))
            advance()
    return results


def facts_of(entry: Tuned, role: str, folder: Path, by: Order) -> dict[str, Any]:
    """What is known of a fine-tuned candidate before it is tested.

    Args:
        entry: The candidate.
        role: What it is among the results.
        folder: Where its file goes.
        by: What chose its best epoch.
    """
    identifier = entry.row["id"]
    return {
        "id": identifier,
        "role": role,
        "rank": entry.row["rank"],
        "file": folder / f"{identifier}.safetensors",
        "best_epoch": entry.training.best_epoch,
        f"validation_{by.name}": entry.training.best_score,
    }


def measured(
    params: Params, network: nn.Module, test: ImageSet, trainer: Trainer, facts: dict[str, Any]
) -> dict[str, Any]:
    """Facts about a trained network, with its costs and what it makes of the test set added.

    Args:
        params: The settings.
        network: The network.
        test: The test images.
        trainer: Where it was trained.
        facts: What is known already, `file` among it.
    """
    settings = trainer.settings
    tested = score_on_test(params, network, test, device=trainer.device, batch_size=settings.batch_size)
    costs = cost_of(params, network)
    figures = {"macs": costs.macs, "params": costs.params, **tested.figures(params)}
    return {**facts, **figures, "file": facts["file"].as_posix()}


def save_pruned(params: Params, network: nn.Module, result: dict[str, Any]) -> None:
    """Save a fine-tuned network as a safetensors file, and what was pruned of it as ONNX and torch.export files.

    Args:
        params: The settings.
        network: The network.
        result: From `measured`; it goes into the file's metadata.

    Raises:
        ArtifactError: A file cannot be written.
    """
    texts = {key: str(value) for key, value in result.items() if not isinstance(value, bytes) and not pd.isna(value)}
    shape = json.dumps(shape_facts(preprocess(params)))
    classes = json.dumps(read_subset(SUB_VALIDATION).classes)
    metadata = {**texts, "model": params.model.name, "task": params.task, "preprocess": shape, "classes": classes}
    metadata |= {"core": params.model.core} if params.model.core else {}
    file = Path(result["file"])
    doing(f"saving {result['id']} and exporting it to ONNX")
    save(network, file, metadata, core=params.model.pruned)
    core, example = core_and_inputs(params, network)
    export_onnx(core, example, file.with_suffix(".onnx"), metadata)
    doing(f"exporting {result['id']} by torch.export")
    export_program(core, example, file.with_suffix(".pt2"))
