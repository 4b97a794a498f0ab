"""extra: one more candidate of the ranking, fine-tuned, tested and saved apart from the pipeline. No stage.

Its files are no stage's outputs and its settings are not written into params.yaml: for DVC nothing has happened.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from eagleeye.errors import ConfigError
from tasks.artifacts import EXTRA, RANKING, read_table, rows_of, write_text
from tasks.inputs.evaluator import open_evaluator, scoring_key
from tasks.inputs.images import open_images
from tasks.params import Params
from tasks.record.beside import recording
from tasks.record.view import search_key
from tasks.run.context import Context
from tasks.settings import check
from tasks.stages.finetune import facts_of, measured, save_pruned, start_of, tune
from tasks.task_rules import chosen_by
from tasks.work.training import forget, open_trainer, training_key

STAGE = "extra"


def run(params: Params, context: Context, candidate: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fine-tune a candidate into artifacts/extra/, as the stage finetune would; continues where a killed one stopped.

    Args:
        params: The settings.
        context: The runner's side.
        candidate: Its id.
        changes: Settings of `finetune` that are others than in params.yaml.

    Returns:
        What `result.json` holds.

    Raises:
        ConfigError: There is no such candidate, or a setting is out of range.
        EvaluationError: The training diverged.
        ArtifactError: A result cannot be written.
    """
    row = _row(candidate)
    settings = _changed(params, changes)
    key = training_key(settings, settings.finetune, start_of(settings, row))
    evaluator = open_evaluator(params, scoring_key(params))
    trainer = open_trainer(settings, settings.finetune, STAGE)
    values = settings.finetune.model_dump(mode="json")
    with recording(STAGE, params, context) as progress:
        tuned = tune(row, evaluator, trainer, key, context, progress.epochs(candidate, values, STAGE))
        _, test = open_images(params)
        facts = facts_of(tuned, STAGE, EXTRA / candidate, chosen_by(params))
        result = measured(settings, tuned.network, test, trainer, facts)
        save_pruned(settings, tuned.network, result)
        result["rank"] = None if pd.isna(row["rank"]) else int(row["rank"])
        history = tuned.training.history.drop(columns="images_per_second", errors="ignore")
        history = history.astype(object).where(history.notna(), None)  # what JSON can say
        result = {name: value for name, value in result.items() if not isinstance(value, bytes)}
        # With the search that it belongs to, so that it is recorded there whenever it may be.
        told = {**result, "search": search_key(params), "finetune": values, "history": rows_of(history)}
        write_text(EXTRA / candidate / "result.json", json.dumps(told, indent=2) + "\n")
    forget(STAGE, key)
    return told


def _row(candidate: str) -> dict[str, Any]:
    ranking = read_table(RANKING)
    found = ranking[ranking["id"] == candidate]
    if found.empty:
        ids = sorted(ranking["id"])
        raise ConfigError(f"candidate {candidate!r} is not in the ranking, which holds {len(ids)}: {_some(ids)}")
    return rows_of(found)[0]


def _some(ids: list[str]) -> str:
    return ", ".join(ids) if len(ids) <= 5 else ", ".join([*ids[:3], "…", ids[-1]])


def _changed(params: Params, changes: Mapping[str, Any]) -> Params:
    values = params.model_dump(mode="json")
    values["finetune"] |= changes
    return check(values, "the run's settings")
