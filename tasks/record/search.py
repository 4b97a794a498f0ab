"""A search's record: one run in MLflow for the same network, candidates and way of scoring."""

import functools
import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from eagleeye.scoring.racing import Scores
from tasks.artifacts import GROUPS, OUTBOX, STRATEGIES, read_table, rows_of
from tasks.inputs.evaluator import scoring_key
from tasks.params import Params
from tasks.record.courier import Courier
from tasks.record.outbox import Outbox, TrackingError
from tasks.record.post import SearchPost
from tasks.record.texts import Candidate, without_passwords
from tasks.run.context import Context
from tasks.state.content_key import content_key

TOGETHER = 20  # candidates in a record: a slow server is to be told from one that does not answer
CONTACT = 5.0  # seconds to find out whether MLflow takes records at all
EARLY = 30.0  # seconds after which a stage says that MLflow does not answer, instead of when it ends


@contextmanager
def record_search(params: Params, context: Context) -> Iterator["Recorder"]:
    """Record something of the search, in the same run whichever stage does.

    Args:
        params: The settings.
        context: Warned if MLflow does not answer; the records then wait in the outbox.

    Yields:
        What to record with.

    Raises:
        TrackingError: MLflow refuses, or a record cannot be kept.
    """
    recorder = Recorder(params, context)
    recorder.begin()
    try:
        yield recorder
    except BaseException as error:
        with suppress(TrackingError):  # the stage's own error is the one to tell
            recorder.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    recorder.end("FINISHED")


class Recorder:
    """What a stage says of a search; from `record_search`. Nothing here waits for MLflow but begin and end."""

    def __init__(self, params: Params, context: Context) -> None:
        """Record the search that the settings and artefacts describe."""
        self._context = context
        self._key, self._name = search_key(params), f"{params.model.name} at {budget_text(params)}"
        self._courier = open_courier()
        self._courier.post.destination = params.tracking.uri, params.tracking.experiment
        self._told, self._started = False, time.monotonic()

    def begin(self) -> None:
        """Show the search as running, and deliver what waits from earlier."""
        self._courier.hurry()
        self._put("begin", {})
        self._courier.wait(at_most=CONTACT)  # a refusal is to be told before the work begins

    def end(self, status: str) -> None:
        """Show how the stage ended, and wait until all is delivered if MLflow answers.

        Args:
            status: FINISHED, FAILED or KILLED.
        """
        self._put("end", {"status": status})
        if trouble := self._courier.wait():
            _warn(self._courier, trouble, self._context)

    def log_settings(self, params: Params) -> None:
        """Record params.yaml but passwords and its section `tracking`, which is no part of the search."""
        settings = params.model_dump(mode="json", exclude={"tracking"})
        self._put("log_settings", {"settings": without_passwords(settings)})

    def log_dataset(self, name: str, path: Path, *, use: str) -> None:
        """Record a table of images as an input of the search.

        Args:
            name: Name for people.
            path: The Parquet file.
            use: What it is used for.
        """
        table = pq.ParquetFile(path)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        facts = {
            "name": name,
            "digest": content,
            "path": path.as_posix(),
            "columns": [{"name": field.name, "type": str(field.type)} for field in table.schema_arrow],
            "rows": table.metadata.num_rows,
            "context": use,
        }
        self._put("log_dataset", {"facts": facts})

    def log_candidates(self, strategies: pd.DataFrame, scored: Mapping[str, tuple[int, Scores]]) -> None:
        """Record scored candidates.

        Args:
            strategies: The table of strategies.
            scored: Sub-validation images and scores by id; candidates without a score are left out.
        """
        found = [asdict(candidate) for candidate in candidates(self._groups, strategies, scored)]
        for start in range(0, len(found), TOGETHER):
            self._put("log_candidates", {"candidates": found[start : start + TOGETHER]})

    def log_ranking(self, path: Path) -> None:
        """Record the ranking and mark the winner."""
        self._put("log_ranking", {}, {"path": path})

    def log_finetuned(
        self,
        candidate_id: str,
        settings: Mapping[str, object],
        history: pd.DataFrame,
        metrics: Mapping[str, float],
        study: str = "",
    ) -> None:
        """Record a fine-tuning.

        Args:
            candidate_id: Who was fine-tuned.
            settings: The `finetune` section.
            history: One row per epoch: `epoch` and any numeric columns.
            metrics: Final figures with `final_accuracy` among them.
            study: What it was done for beside the search.
        """
        columns = {str(column): history[column].tolist() for column in history}
        arguments = {"candidate_id": candidate_id, "settings": settings, "history": columns, "metrics": metrics}
        self._put("log_finetuned", {**arguments, "study": study})

    def log_model(self, checkpoint: Path, onnx: Path, registered: str, facts: Mapping[str, object]) -> None:
        """Record the winner and register it.

        Args:
            checkpoint: From `eagleeye.save`.
            onnx: From `eagleeye.saving.onnx_export`.
            registered: Name of the registered model; from `registered_name`.
            facts: What the registered version says of the winner.
        """
        tags = {name: str(value) for name, value in facts.items()}
        self._put("log_model", {"registered": registered, "tags": tags}, {"checkpoint": checkpoint, "onnx": onnx})

    def log_report(self, metrics: Mapping[str, float], folder: Path, name: str = "report") -> None:
        """Record the report, or a study's of that name: figures of merit by name, and the folder with the page."""
        self._put("log_report", {"metrics": metrics, "name": name}, {"folder": folder})

    @functools.cached_property
    def _groups(self) -> list[str]:
        return list(read_table(GROUPS)["name"])

    def _put(self, method: str, arguments: Mapping[str, Any], files: Mapping[str, Path] | None = None) -> None:
        self._courier.outbox.append(self._key, self._name, method, arguments, files)
        self._courier.wake()
        if not self._told and time.monotonic() - self._started > EARLY and (trouble := self._courier.trouble):
            self._told = True
            _warn(self._courier, trouble, self._context)


def deliver_waiting(params: Params, context: Context) -> None:
    """Deliver what waits from earlier.

    Raises:
        TrackingError: MLflow refuses a record.
    """
    courier = open_courier()
    courier.post.destination = params.tracking.uri, params.tracking.experiment
    courier.hurry()
    if trouble := courier.wait():
        _warn(courier, trouble, context)


def open_courier() -> Courier[SearchPost]:
    """The process's courier for the outbox of the working directory."""
    return _open_courier(OUTBOX.absolute())


@functools.cache
def _open_courier(outbox: Path) -> Courier[SearchPost]:
    return Courier(Outbox(outbox), SearchPost())


def _warn(courier: Courier[SearchPost], trouble: str, context: Context) -> None:
    context.warn(
        f"{trouble}; nothing is lost: {courier.outbox.count():,} records wait in {OUTBOX} and are delivered when it"
        " answers, by this run, the next one, or `python -m tasks record`"
    )


def search_key(params: Params) -> str:
    """Hash of everything that makes it this search."""
    wanted = params.strategies
    return content_key(
        {
            "scoring": scoring_key(params),
            "strategies": STRATEGIES,
            # Later generations follow from the first one, the scores and these.
            "bred": [wanted.sampler, wanted.generations, wanted.count] if wanted.generations > 1 else None,
            "ranked by": params.rank.by,
        }
    )


def budget_text(params: Params) -> str:
    """The budget in words."""
    budget = params.strategies.budget
    limits = [("{} MACs", budget.macs), ("{} parameters", budget.params), ("{} of the latency", budget.latency)]
    if budget.latency is not None and budget.latency > 1:
        limits[-1] = ("{} ms", budget.latency)
    return ", ".join(words.format(_amount(value)) for words, value in limits if value is not None)


def registered_name(params: Params) -> str:
    """Name of the registered model that winners of this network and budget are versions of."""
    budget = budget_text(params).replace("%", " percent")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", f"{params.model.name} {budget}").strip("-")


def _amount(value: float) -> str:
    return f"{100 * value:g}%" if value <= 1 else f"{value:,.6g}" if value < 1000 else f"{value:,.0f}"


def candidates(
    groups: Iterable[str], strategies: pd.DataFrame, scored: Mapping[str, tuple[int, Scores]]
) -> list[Candidate]:
    """MLflow's view of scored candidates.

    Args:
        groups: Names of the prunable groups.
        strategies: The table of strategies.
        scored: Sub-validation images and scores by id; candidates without a score are left out.
    """
    columns = ["id", "origin", "macs", "params", "macs_fraction", "params_fraction"]
    rows = strategies[strategies["id"].isin(list(scored))]
    return [
        Candidate(
            **{column: row[column] for column in columns},
            rates=dict(zip(groups, map(float, row["rates"]), strict=True)),
            scores=dict(scored[row["id"]][1].values),
            seconds=scored[row["id"]][1].seconds,
            latency=None if pd.isna(row["latency"]) else float(row["latency"]),
            images=scored[row["id"]][0],
        )
        for row in rows_of(rows)
    ]
