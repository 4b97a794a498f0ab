"""MLflow behind one face: a store of runs, artefacts and models. Nothing else imports it."""

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for every candidate
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # tasks.record.keeper tries again
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # seconds; MLflow's own 120 hold up what waits
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")  # seconds; PostgreSQL's own is for ever

import mlflow
import numpy as np
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
)
from mlflow.models import Model, ModelSignature
from mlflow.telemetry import set_telemetry_client
from mlflow.tracking._tracking_service.utils import _SERVER_ARTIFACT_ROOT_ENV_VAR
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import Schema, TensorSpec
from mlflow.utils.git_utils import get_git_commit
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tasks.record.faults import TrackingError
from tasks.record.own_store import FILES, FOLDER, file_of, follow, is_own, make_whole
from tasks.record.texts import key, readable
from tasks.run.aside import project_folder

PARAMS_PER_BATCH = 100
METRICS_PER_BATCH = 1000  # MLflow's limits
MAKING = 60_000_000  # bytes that are sent in the time that making a store takes on a busy machine
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # that MLflow can be, by the first word of the URI
ONNX = "onnx_sha256"  # tag of a model: the content of its file
PARENT = "mlflow.parentRunId"  # tag of a nested run

Run = mlflow.entities.Run

set_telemetry_client()  # off, even where something else has imported MLflow before
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks are told in one line


class Store:
    """One experiment of an MLflow store; every write may be repeated."""

    def __init__(self, uri: str, experiment: str, beat: Callable[[int], None] = lambda _: None) -> None:
        """Open the store; it and the experiment are created where missing.

        Args:
            uri: MLflow tracking URI.
            experiment: Its name.
            beat: Called before each request, with the bytes that it sends at most.

        Raises:
            TrackingError: The experiment was deleted.
        """
        path = file_of(uri)
        self._beat = beat
        self._beat(0 if path is None or path.exists() else MAKING)
        prepare(uri)
        self._beat(0)
        own = path is not None and is_own(path)
        if own and project_folder() != Path.cwd():
            # Of an experiment aside, MLflow would put the files where they vanish.
            os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(project_folder() / FILES)
        # With its whole path: MLflow keeps a store in memory by the URI, which may be relative to another folder.
        self._client = mlflow.MlflowClient(tracking_uri=uri if path is None else f"sqlite:///{path}")
        self.experiment_id = _experiment_id(self._client, experiment, {FOLDER: str(project_folder())} if own else {})

    def find(self, query: str) -> list[Run]:
        """Active runs by a filter, oldest first."""
        found: list[Run] = []
        token = None
        while True:
            self._beat(0)
            page = self._client.search_runs(
                [self.experiment_id], query, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def get(self, run_id: str) -> Run:
        """A run as it is now."""
        self._beat(0)
        return self._client.get_run(run_id)

    def create(self, name: str, tags: Mapping[str, str], seconds: float = 0.0) -> Run:
        """A new run that began so many seconds ago."""
        self._beat(0)
        start = now() - int(1000 * seconds)
        tags = {**_origin_tags(), **tags}
        return self._client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=name)

    def delete(self, run_id: str) -> None:
        """Delete a run, as the UI does."""
        self._beat(0)
        self._client.delete_run(run_id)

    def update(self, run_id: str, *, status: str | None = None, name: str | None = None) -> None:
        """Change a run's status or name."""
        self._beat(0)
        self._client.update_run(run_id, status=status, name=name)

    def end(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run."""
        self._beat(0)
        self._client.set_terminated(run_id, status)

    def tag(self, run_id: str, name: str, value: str) -> None:
        """Set a tag of a run."""
        self._beat(0)
        self._client.set_tag(run_id, name, value)

    def experiment_tags(self) -> Mapping[str, str]:
        """The experiment's tags."""
        self._beat(0)
        tags: Mapping[str, str] = self._client.get_experiment(self.experiment_id).tags
        return tags

    def tag_experiment(self, name: str, value: str) -> None:
        """Set a tag of the experiment."""
        self._beat(0)
        self._client.set_experiment_tag(self.experiment_id, name, value)

    def write(self, run: Run, params: Mapping[str, str], points: Sequence[tuple[str, float, int]]) -> None:
        """Write params, and metrics as name, value and step."""
        # The run's own start is the time of its metrics: written a second time they are the same metrics.
        metrics = [Metric(name, value, run.info.start_time, step) for name, value, step in points]
        entries = [Param(name, value) for name, value in params.items()]
        while entries or metrics:
            self._beat(0)
            self._client.log_batch(
                run.info.run_id, metrics=metrics[:METRICS_PER_BATCH], params=entries[:PARAMS_PER_BATCH]
            )
            del metrics[:METRICS_PER_BATCH], entries[:PARAMS_PER_BATCH]

    def is_there(self, run_id: str) -> bool:
        """Whether a run is there, and not deleted."""
        return any(run.info.run_id == run_id for run in self.find(f"attributes.run_id = '{run_id}'"))

    def put_figures(self, run_id: str, figures: Mapping[str, float]) -> None:
        """Set figures that may change: only what is new becomes another point."""
        known = self.get(run_id).data.metrics
        time_now = now()
        values = {key(name): readable(name, value) for name, value in figures.items()}
        metrics = [Metric(name, value, time_now, 0) for name, value in values.items() if known.get(name) != value]
        if metrics:
            self._client.log_batch(run_id, metrics=metrics)

    def put_curves(self, run_id: str, curves: Mapping[str, Mapping[int, float]]) -> None:
        """Set points that may change, value by step for each metric: only what is new becomes another point."""
        known = self.curves(run_id, curves)
        time_now = now()
        metrics = [
            Metric(key(name), value, time_now, step)
            for name, points in curves.items()
            for step, value in points.items()
            if known[name].get(step) != value
        ]
        if metrics:
            self._client.log_batch(run_id, metrics=metrics)

    def curves(self, run_id: str, metrics: Iterable[str]) -> dict[str, dict[int, float]]:
        """Value by step of each metric, the latest where there are several."""
        self._beat(0)
        found = {name: self._client.get_metric_history(run_id, key(name)) for name in metrics}
        return {
            name: {point.step: point.value for point in sorted(points, key=lambda point: point.timestamp)}
            for name, points in found.items()
        }

    def points(self, run_id: str, metrics: Iterable[str]) -> set[tuple[str, float, int]]:
        """The points of some metrics: name, value, step."""
        self._beat(0)
        found = [point for name in metrics for point in self._client.get_metric_history(run_id, name)]
        return {(point.key, point.value, point.step) for point in found}

    def steps(self, run_id: str, metric: str) -> int:
        """How many points a metric has."""
        self._beat(0)
        return len(self._client.get_metric_history(run_id, metric))

    def add_dataset(self, run_id: str, facts: Mapping[str, Any]) -> None:
        """Record an input of a run; see `tasks.record.view`."""
        self._beat(0)
        dataset = Dataset(
            facts["name"],
            facts["digest"],
            source_type="local",
            source=json.dumps({"uri": facts["path"]}),
            schema=json.dumps({"mlflow_colspec": facts["columns"]}),
            profile=json.dumps({"num_rows": facts["rows"]}),
        )
        tags = [InputTag("mlflow.data.context", facts["context"])]
        self._client.log_inputs(run_id, [DatasetInput(dataset, tags)])

    def upload(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Upload a file into a folder of a run's artefacts, or a folder's files."""
        self._beat(
            sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
        )
        upload = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        upload(run_id, str(path), folder)

    def upload_text(self, run_id: str, content: str, name: str) -> None:
        """Upload a text as an artefact."""
        self._beat(0)
        self._client.log_text(run_id, content, name)

    def add_onnx(self, run_id: str, path: Path, digest: str) -> LoggedModel:
        """The MLflow model that an ONNX file is: found by its content or made, with signature and input example."""
        self._beat(0)
        models = self._client.search_logged_models([self.experiment_id], f"source_run_id = '{run_id}'")
        for model in models:
            if model.status == LoggedModelStatus.PENDING:  # left by a process that was killed
                self._client.delete_logged_model(model.model_id)
        found = [one for one in models if one.status == LoggedModelStatus.READY and one.tags.get(ONNX) == digest]
        model = found[0] if found else self._make_model(run_id, path, digest)
        # Last, so that the run never points to a model that was left half-written.
        outputs = self.get(run_id).outputs
        if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
            self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        return model

    def _make_model(self, run_id: str, path: Path, digest: str) -> LoggedModel:
        params = self.get(run_id).data.params
        model = self._client.create_logged_model(
            self.experiment_id, "pruned", run_id, {ONNX: digest}, params, "classifier"
        )
        with tempfile.TemporaryDirectory() as folder:
            _save_onnx(path, f"{folder}/model", model.model_id, run_id)
            self._beat(path.stat().st_size)
            self._client.log_model_artifacts(model.model_id, f"{folder}/model")
        return self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def register(self, name: str, model: LoggedModel, tags: Mapping[str, str], alias: str) -> None:
        """Make a model a version of a registered one and give it the alias; the same content is one version."""
        self._beat(0)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name)
        versions = self._client.search_model_versions(f"name = '{name}'")
        found = sorted((one for one in versions if one.tags.get(ONNX) == tags[ONNX]), key=lambda one: int(one.version))
        for twin in found[1:]:  # made by a request that was answered too late
            self._client.delete_model_version(name, twin.version)
        if found:
            number = found[0].version
            for tag in (tag for tag in tags.items() if found[0].tags.get(tag[0]) != tag[1]):
                self._client.set_model_version_tag(name, number, *tag)
        else:
            # By place, as MLflow looks up a source like models:/<id> in the process's default store, not in this one.
            source = model.artifact_location
            run_id = model.source_run_id
            made = self._client.create_model_version(name, source, run_id, dict(tags), model_id=model.model_id)
            number = made.version
        if self._client.get_registered_model(name).aliases.get(alias) != number:
            self._client.set_registered_model_alias(name, alias, number)


def now() -> int:
    """Milliseconds since 1970."""
    return int(1000 * time.time())


def finished(run: Run) -> bool:
    """Whether a run has come to a good end."""
    return str(run.info.status) == "FINISHED"


def digest_of(content: object) -> str:
    """A short name for a content: bytes, or whatever JSON can say."""
    raw = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def prepare(uri: str) -> None:
    """Make the store where it is a file and missing or half made, and let its paths lead into the project's folder.

    Args:
        uri: MLflow tracking URI; of anything but a file, it is found out whether it can be reached.

    Raises:
        ArtifactError: The file cannot be written.
        Exception: Whatever drivers raise; see `tasks.record.faults.told_apart`.
    """
    if path := file_of(uri):
        make_whole(path, _make)
    if re.split(r"[+:]", uri)[0] not in DATABASES:
        return
    # Once: MLflow would try for minutes, whatever the reason.
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if path:
            # An SQLite store can then be read while it is written to, and a candidate takes half the time. Refused
            # while the store is in use; the file keeps the setting once it has it.
            with suppress(OperationalError):
                connection.execute(text("PRAGMA journal_mode=WAL"))
    if path and is_own(path):
        follow(path)


def _make(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore  # without types
    store(f"sqlite:///{path}", str(project_folder() / FILES)).engine.dispose()


def _experiment_id(client: mlflow.MlflowClient, name: str, tags: dict[str, str]) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # The kind opens the UI on the table of runs instead of asking what the experiment is for.
        return client.create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development", **tags})
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow experiment {name!r} was deleted: restore it with `mlflow experiments restore -x"
            f" {experiment.experiment_id}`, or set tracking.experiment to another name"
        )
    for tag in tags.items() - experiment.tags.items():
        client.set_experiment_tag(experiment.experiment_id, *tag)
    return experiment.experiment_id


@cache
def _origin_tags() -> dict[str, str]:
    commit = get_git_commit(os.getcwd())  # noqa: PTH109
    tags = {**resolve_tags(), "mlflow.source.name": "eagleeye"}
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


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
