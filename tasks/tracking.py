"""MLflow: one parent run per search, one nested run per candidate and per fine-tuning; nothing else knows it.

Every function may be called again with the same content: runs are found by their tags and completed, so that a
search killed anywhere is recorded once. Only one process at a time may record a search.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")  # half a minute of silence instead of four

import mlflow
import pandas as pd
import pyarrow.parquet as pq
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException

from eagleeye.errors import EagleEyeError

SEARCH, CANDIDATE, FINETUNE, WINNER = (
    "eagleeye.search",
    "eagleeye.candidate",
    "eagleeye.finetune",
    "eagleeye.winner",
)
REFERENCE = "even"  # the origin of a candidate scored for comparison only


class TrackingError(EagleEyeError):
    """MLflow cannot be reached, or refuses a record."""


@dataclass(frozen=True)
class Candidate:
    """What one candidate's run shows.

    Attributes:
        id: The strategy's id.
        origin: Which generator drew it.
        rates: Pruning rate by group name.
        macs: Multiply-accumulates of the pruned network.
        params: Its parameters.
        macs_fraction: Its MACs as a fraction of the full network's.
        params_fraction: Its parameters as a fraction of the full network's.
        accuracy: Top-1 on the sub-validation images, in [0, 1].
        loss: Mean cross-entropy there.
        vanilla_accuracy: Without recalibration; None where not scored.
        vanilla_loss: Without recalibration; None where not scored.
        seconds: Time of the evaluation; None where not measured.
    """

    id: str
    origin: str
    rates: Mapping[str, float]
    macs: int
    params: int
    macs_fraction: float
    params_fraction: float
    accuracy: float
    loss: float
    vanilla_accuracy: float | None = None
    vanilla_loss: float | None = None
    seconds: float | None = None


@contextmanager
def search_run(search_key: str, name: str, *, uri: str, experiment: str) -> Iterator["SearchRun"]:
    """The parent run of a search, found by its key or created; running inside the block, ended after it.

    Args:
        search_key: From `tasks.scorebook.search_key`.
        name: Name of a new run, for people.
        uri: MLflow tracking URI.
        experiment: MLflow experiment, created where missing.

    Yields:
        What the stages record with.

    Raises:
        TrackingError: MLflow cannot be reached or refuses a record.
    """
    raise NotImplementedError


class SearchRun:
    """The record of one search; from `search_run`."""

    def log_settings(self, settings: Mapping[str, object]) -> None:
        """Record the whole of params.yaml (nested mappings) as params of the parent."""

    def log_dataset(self, name: str, path: Path, *, context: str) -> None:
        """Record a table of images (Parquet) as an input of the parent; context: what it is used for."""

    def log_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Record scored candidates, each once; call with every batch as it comes, or with all again."""

    def log_ranking(self, path: Path) -> None:
        """Record ranking.parquet on the parent and mark the winner's run."""

    def log_finetuned(
        self,
        candidate_id: str,
        settings: Mapping[str, object],
        history: pd.DataFrame,
        metrics: Mapping[str, float],
    ) -> None:
        """Record a fine-tuning as a nested run with its curves; metrics also go to the candidate's own run.

        Args:
            candidate_id: Who was fine-tuned.
            settings: The `finetune` section; other settings give another run.
            history: One row per epoch: `epoch` and any number of numeric columns.
            metrics: Final figures, e.g. final_accuracy, final_loss; the winner's also go to the parent.
        """

    def log_model(self, checkpoint: Path, onnx: Path) -> None:
        """Record the winner on the parent: the checkpoint as an artefact, the ONNX file as an MLflow model."""

    def log_report(self, metrics: Mapping[str, float], folder: Path) -> None:
        """Record the report's folder (page, figures) and figures of merit on the parent.

        Pairs named baseline_X and pruned_X (accuracy, macs, params, latency_ms, …) fill the description's table.
        """
