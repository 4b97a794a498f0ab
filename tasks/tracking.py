"""MLflow: one parent run per search, one nested run per candidate and per fine-tuning; nothing else knows it.

Every function may be called again with the same content: runs are found by their tags and completed, so that
a search killed anywhere is recorded once. Only one process at a time may record a search.
"""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for every candidate
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")  # half a minute of silence instead of four

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.telemetry import set_telemetry_client
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import Schema, TensorSpec
from mlflow.utils.git_utils import get_git_commit
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from eagleeye.errors import EagleEyeError
from tasks import tracking_text as text
from tasks.artifacts import REFERENCE
from tasks.tracking_text import CANDIDATE, CHANGED, FINETUNE, OUTCOME, SEARCH, WINNER, Candidate

VIEW = "mlflow.sharedViewState."
PARENT, NOTE, TABLES = "mlflow.parentRunId", "mlflow.note.content", "mlflow.loggedArtifacts"
BEST, EACH = "candidates/best_accuracy", "candidates/accuracy"  # a section of charts, and the first
PARAMS_PER_BATCH, METRICS_PER_BATCH = 100, 1000  # MLflow's limits
STEPS_PER_BATCH = METRICS_PER_BATCH // 2

set_telemetry_client()  # off, even where something else has imported MLflow before


class TrackingError(EagleEyeError):
    """MLflow cannot be reached, or refuses a record."""


@contextmanager
def search_run(search_key: str, name: str, *, uri: str, experiment: str) -> Iterator["SearchRun"]:
    """The parent run of a search, found by its key or created; running inside the block, ended after it.

    Args:
        search_key: From `tasks.content_key.content_key`.
        name: Name of a new run, for people.
        uri: MLflow tracking URI.
        experiment: MLflow experiment, created where missing.

    Yields:
        What the stages record with.

    Raises:
        TrackingError: MLflow cannot be reached or refuses a record.
    """
    # A stage's own OSError passes; one of opening the store is the store's.
    with _one_line_errors(uri, MlflowException, SQLAlchemyError, OSError, ImportError):
        client = mlflow.MlflowClient(tracking_uri=uri)
        _write_ahead(uri)
        run = SearchRun(client, _experiment_id(client, experiment), search_key, name)
    with _one_line_errors(uri, MlflowException):
        try:
            yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        run.end("FINISHED")


class SearchRun:
    """The record of one search; from `search_run`."""

    def __init__(self, client: mlflow.MlflowClient, experiment_id: str, search_key: str, name: str) -> None:
        """Find the search's runs, or create the parent."""
        self._client = client
        self._experiment_id = experiment_id
        found = self._find(f"tags.`{SEARCH}` = '{search_key}'")
        self.run_id = (found[0] if found else self._create(name, {SEARCH: search_key})).info.run_id
        self._view = f"{VIEW}{self.run_id}"
        client.update_run(self.run_id, status="RUNNING")
        self._nested = self._nested_runs()
        self._done = {key for key, run in self._nested.items() if _finished(run)}
        scored = [run for run in self._nested.values() if _finished(run) and _competes(run)]
        scored.sort(key=lambda run: (run.info.end_time, run.info.run_name))
        self._accuracies = [run.data.metrics["accuracy"] for run in scored]
        self._charted = len(client.get_metric_history(self.run_id, BEST))
        self._chart()

    def end(self, status: str) -> None:
        """End the parent run: FINISHED, FAILED or KILLED."""
        data = self._parent().data
        note = text.describe(data.params, data.metrics, data.tags, self._links())
        self._client.set_tag(self.run_id, NOTE, note)
        self._client.set_terminated(self.run_id, status)

    def log_settings(self, settings: Mapping[str, object]) -> None:
        """Record the whole of params.yaml on the parent.

        MLflow writes a param once. What has changed since (settings of later stages: the search's own would
        make it another search) is told by the description and by the runs of the fine-tunings.

        Args:
            settings: Nested mappings as in the file.
        """
        params = text.flatten(settings)
        parent = self._parent()
        old = parent.data.params
        self._write(parent, {name: value for name, value in params.items() if name not in old}, [])
        changed = {name: value for name, value in params.items() if old.get(name, value) != value}
        if changed or CHANGED in parent.data.tags:
            self._client.set_tag(self.run_id, CHANGED, json.dumps(changed))

    def log_dataset(self, name: str, path: Path, *, context: str) -> None:
        """Record a table of images as an input of the parent.

        Args:
            name: Name for people.
            path: The Parquet file.
            context: What it is used for.
        """
        table = pq.ParquetFile(path)
        columns = [{"name": field.name, "type": str(field.type)} for field in table.schema_arrow]
        dataset = Dataset(
            name,
            _digest(path.read_bytes()),
            source_type="local",
            source=json.dumps({"uri": path.as_posix()}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": table.metadata.num_rows}),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def log_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Record scored candidates, each in one run; what more images found replaces what fewer had shown.

        Args:
            candidates: A batch as it comes, or all of them again.
        """
        groups: list[str] = []
        for candidate in candidates:
            groups = list(candidate.rates)
            if candidate.id not in self._done:
                self._log_candidate(candidate)
            elif (candidate.images or 0) > self._nested[candidate.id].data.metrics.get("images", 0):
                self._put_figures(self._nested[candidate.id].info.run_id, candidate.figures())
        if groups:
            self._offer_view(groups)
        self._chart()

    def log_ranking(self, path: Path) -> None:
        """Record the ranking on the parent and mark the winner's run.

        Args:
            path: ranking.parquet.
        """
        ranking = pd.read_parquet(path)
        self._log_table(ranking.drop(columns=["rates", "widths"], errors="ignore"), "ranking.json")
        self._client.log_artifact(self.run_id, str(path))
        best = ranking[ranking["rank"] == 1].iloc[0]
        self._client.set_tag(self.run_id, WINNER, best["id"])
        self._name_candidates(best["id"])
        figures = {name: best[name] for name in text.FIGURES if name in best and pd.notna(best[name])}
        costs = {name: figures.pop(name) for name in text.COSTS}
        self._put_figures(self.run_id, {**costs, **{f"winner/{name}": value for name, value in figures.items()}})

    def log_finetuned(
        self,
        candidate_id: str,
        settings: Mapping[str, object],
        history: pd.DataFrame,
        metrics: Mapping[str, float],
    ) -> None:
        """Record a fine-tuning as a nested run with its curves; its figures also go to the candidate's run.

        Args:
            candidate_id: Who was fine-tuned.
            settings: The `finetune` section; other settings give another run, another outcome replaces the run.
            history: One row per epoch: `epoch` and any numeric columns.
            metrics: Final figures with `final_accuracy` (on the test images) among them, which the parent shows
                for the winner.
        """
        params = {"candidate": candidate_id, **text.flatten(settings, "finetune.")}
        name = text.run_name(f"fine-tune {candidate_id}", metrics["final_accuracy"])
        outcome = _digest([history.to_json(orient="split"), dict(metrics)])
        run = self._finetuning(name, _digest(params), outcome)
        curves = [
            (text.key(column), float(row[column]), int(row["epoch"]))
            for row in history.to_dict("records")
            for column in history.columns.drop("epoch")
        ]
        self._write(run, params, [*curves, *_single(metrics)])
        self._client.set_terminated(run.info.run_id)
        if candidate_id in self._nested:
            self._put_figures(self._nested[candidate_id].info.run_id, metrics)
        if self._parent().data.tags.get(WINNER) == candidate_id:
            self._put_figures(self.run_id, {"final_accuracy": metrics["final_accuracy"]})

    def log_model(self, checkpoint: Path, onnx: Path) -> None:
        """Record the winner on the parent: the checkpoint as an artefact, the ONNX file as an MLflow model.

        Args:
            checkpoint: From `eagleeye.save`.
            onnx: From `eagleeye.export_onnx`.
        """
        self._client.log_artifact(self.run_id, str(checkpoint), "checkpoint")
        digest = _digest(onnx.read_bytes())
        models = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{self.run_id}'")
        for model in models:
            if model.tags.get("onnx_sha256") == digest and str(model.status) == "READY":
                return
        for model in models:
            self._client.delete_logged_model(model.model_id)
        self._log_onnx(onnx, digest)

    def log_report(self, metrics: Mapping[str, float], folder: Path) -> None:
        """Record the report on the parent.

        Args:
            metrics: Figures of merit by name; pairs baseline_X and pruned_X (accuracy, macs, params,
                latency_ms, …) fill the description's table.
            folder: The page and its figures.
        """
        self._put_figures(self.run_id, {f"report/{name}": value for name, value in metrics.items()})
        self._client.log_artifacts(self.run_id, str(folder), "report")

    def _parent(self) -> Run:
        return self._client.get_run(self.run_id)

    def _create(self, name: str, tags: Mapping[str, str], seconds: float = 0.0) -> Run:
        start = _now() - int(1000 * seconds)
        tags = {**_origin_tags(), **tags}
        return self._client.create_run(self._experiment_id, start_time=start, tags=tags, run_name=name)

    def _find(self, query: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], query, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _nested_runs(self) -> dict[str, Run]:
        nested: dict[str, Run] = {}
        for run in sorted(self._find(f"tags.`{PARENT}` = '{self.run_id}'"), key=_finished, reverse=True):
            key = run.data.tags.get(CANDIDATE) or run.data.tags.get(FINETUNE)
            if key in nested:  # a request that was answered too late, and therefore sent twice
                self._client.delete_run(run.info.run_id)
            elif key is not None:
                nested[key] = run
        return nested

    def _log_candidate(self, candidate: Candidate) -> None:
        name = text.run_name(candidate.id, candidate.accuracy)
        tags = {CANDIDATE: candidate.id, PARENT: self.run_id}
        # The duration that the UI shows is that of the evaluation, not of its recording.
        run = self._nested.get(candidate.id) or self._create(name, tags, candidate.seconds or 0.0)
        rates = {text.key(f"rate/{group}"): f"{rate:.4f}" for group, rate in candidate.rates.items()}
        self._write(run, {"origin": candidate.origin, **rates}, _single(candidate.figures()))
        self._client.set_terminated(run.info.run_id)
        self._nested[candidate.id] = run
        self._done.add(candidate.id)
        if candidate.origin != REFERENCE:
            self._accuracies.append(candidate.accuracy)

    def _finetuning(self, name: str, key: str, outcome: str) -> Run:
        run = self._nested.get(key)
        if run is not None and run.data.tags[OUTCOME] != outcome:
            self._client.delete_run(run.info.run_id)
            run = None
        self._nested[key] = run or self._create(name, {FINETUNE: key, OUTCOME: outcome, PARENT: self.run_id})
        return self._nested[key]

    def _offer_view(self, groups: Sequence[str]) -> None:
        if self._view in self._client.get_experiment(self._experiment_id).tags:
            return
        name = f"{self._parent().info.run_name}: candidates"
        view = text.candidates_view(name, self.run_id, groups, _now())
        self._client.set_experiment_tag(self._experiment_id, self._view, view)

    def _links(self) -> dict[str, str]:
        page = f"#/experiments/{self._experiment_id}/runs?workflowType=machine_learning&viewStateShareKey="
        page += self._view.removeprefix(VIEW)
        return {"Candidates, best first": page, "Charts of the best": f"{page}&compareRunsMode=CHART"}

    def _name_candidates(self, winner: str) -> None:
        self._nested = self._nested_runs()
        for key, run in self._nested.items():
            if CANDIDATE in run.data.tags and "accuracy" in run.data.metrics:
                name = text.run_name(key, run.data.metrics["accuracy"], winner=key == winner)
                if name != run.info.run_name:
                    self._client.update_run(run.info.run_id, name=name)

    def _write(self, run: Run, params: Mapping[str, str], points: Sequence[tuple[str, float, int]]) -> None:
        # The run's own start is the time of its metrics: written a second time they are the same metrics.
        metrics = [Metric(name, value, run.info.start_time, step) for name, value, step in points]
        entries = [Param(name, value) for name, value in params.items()]
        while entries or metrics:
            self._client.log_batch(
                run.info.run_id, metrics=metrics[:METRICS_PER_BATCH], params=entries[:PARAMS_PER_BATCH]
            )
            del metrics[:METRICS_PER_BATCH], entries[:PARAMS_PER_BATCH]

    def _put_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Set figures that may change: only what is new becomes another point."""
        known = self._client.get_run(run_id).data.metrics
        now = _now()
        values = {text.key(name): text.readable(name, value) for name, value in figures.items()}
        metrics = [Metric(name, value, now, 0) for name, value in values.items() if known.get(name) != value]
        if metrics:
            self._client.log_batch(run_id, metrics=metrics)

    def _chart(self) -> None:
        """Bring the parent's curves up to date: accuracies in the order of scoring, and the best so far."""
        curves = {EACH: self._accuracies, BEST: list(accumulate(self._accuracies, max))}
        now = _now()
        while self._charted < len(self._accuracies):
            rows = range(self._charted, min(self._charted + STEPS_PER_BATCH, len(self._accuracies)))
            points = [Metric(name, curve[row], now, row + 1) for row in rows for name, curve in curves.items()]
            self._client.log_batch(self.run_id, metrics=points)
            self._charted = rows.stop

    def _log_table(self, table: pd.DataFrame, name: str) -> None:
        # Not MLflow's log_table, which appends to the table of an earlier call.
        self._client.log_text(self.run_id, table.to_json(orient="split", index=False), name)
        self._client.set_tag(self.run_id, TABLES, json.dumps([{"path": name, "type": "table"}]))

    def _log_onnx(self, path: Path, digest: str) -> None:
        parent = self._parent()
        model = self._client.create_logged_model(
            self._experiment_id, "pruned", self.run_id, {"onnx_sha256": digest}, parent.data.params, "classifier"
        )
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        with tempfile.TemporaryDirectory() as folder:
            _save_onnx(path, f"{folder}/model", model.model_id, self.run_id)
            self._client.log_model_artifacts(model.model_id, f"{folder}/model")
        self._client.finalize_logged_model(model.model_id, "READY")


def _write_ahead(uri: str) -> None:
    """Let an SQLite store be read while it is written to; a candidate is recorded in half the time, too."""
    if uri.startswith("sqlite:///"):
        # Refused while the store is in use; the file keeps the setting once it has it.
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(make_url(uri).database or "")) as store:
            store.execute("PRAGMA journal_mode=WAL")


def _experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # The kind opens the UI on the table of runs instead of asking what the experiment is for.
        return client.create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development"})
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow experiment {name!r} was deleted: restore it with `mlflow experiments restore -x"
            f" {experiment.experiment_id}`, or set tracking.experiment to another name"
        )
    return experiment.experiment_id


@cache
def _origin_tags() -> dict[str, str]:
    commit = get_git_commit(os.getcwd())  # noqa: PTH109
    tags = {**resolve_tags(), "mlflow.source.name": "eagleeye"}
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


def _now() -> int:
    return int(1000 * time.time())


def _finished(run: Run) -> bool:
    return str(run.info.status) == "FINISHED"


def _competes(run: Run) -> bool:
    return CANDIDATE in run.data.tags and run.data.params.get("origin") != REFERENCE


def _single(figures: Mapping[str, float]) -> list[tuple[str, float, int]]:
    return [(text.key(name), float(value), 0) for name, value in figures.items()]


def _digest(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def _save_onnx(path: Path, folder: str, model_id: str, run_id: str) -> None:
    """Write the ONNX file as an MLflow model with its signature and an example of its input."""
    import mlflow.onnx
    import onnx

    network = onnx.load(path)
    images, scores = (_tensor_spec(tensors[0]) for tensors in (network.graph.input, network.graph.output))
    mlflow.onnx.save_model(
        network,
        folder,
        mlflow_model=Model(artifact_path=folder, run_id=run_id, model_uuid=model_id, model_id=model_id),
        signature=ModelSignature(Schema([images]), Schema([scores])),
        input_example=np.zeros([1, *images.shape[1:]], images.type),
        pip_requirements=[f"{package}=={version(package)}" for package in ("onnx", "onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],  # the one that every machine has
        save_as_external_data=False,
    )


def _tensor_spec(tensor: Any) -> TensorSpec:
    sizes = [size.dim_value or -1 for size in tensor.type.tensor_type.shape.dim]
    return TensorSpec(np.dtype(np.float32), sizes, tensor.name)


@contextmanager
def _one_line_errors(uri: str, *kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as error:
        reason = textwrap.shorten(str(error).splitlines()[0], 240, placeholder=" …")
        line = f"MLflow at {uri}: {reason}; scores are kept: run again when it answers, or set tracking.uri"
        raise TrackingError(re.sub(r"//[^@/\s]*@", "//", line)) from error  # without a password
