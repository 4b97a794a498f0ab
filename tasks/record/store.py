"""A store of runs, their figures and files: MLflow behind one face. `models.py` is the same for models."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.record.api import Client, Dataset, DatasetInput, InputTag, Metric, Param, Run, keep_files_in, origin_tags
from tasks.record.models import Models
from tasks.record.opening import experiment_id, prepare
from tasks.record.own_store import FILES, FOLDER, file_of, is_own
from tasks.record.texts import key, readable
from tasks.run.aside import project_folder

PARAMS_PER_BATCH = 100
METRICS_PER_BATCH = 1000  # MLflow's limits
MAKING = 60_000_000  # bytes that are sent in the time that making a store takes on a busy machine
PARENT = "mlflow.parentRunId"  # tag of a nested run


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
            keep_files_in(project_folder() / FILES)
        # With its whole path: MLflow keeps a store in memory by the URI, which may be relative to another folder.
        self._client = Client(tracking_uri=uri if path is None else f"sqlite:///{path}")
        self.experiment_id = experiment_id(self._client, experiment, {FOLDER: str(project_folder())} if own else {})
        self.models = Models(self._client, self.experiment_id, beat)

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
        tags = {**origin_tags(), **tags}
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
