"""MLflow, made quiet: the one file that imports it, and by name all that this room uses of it."""

import logging
import os
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

__all__ = [
    "Client",
    "Dataset",
    "DatasetInput",
    "InputTag",
    "LoggedModel",
    "LoggedModelOutput",
    "LoggedModelStatus",
    "Metric",
    "Param",
    "Run",
    "keep_files_in",
    "make_database",
    "origin_tags",
    "save_onnx",
]

Client = mlflow.MlflowClient
Run = mlflow.entities.Run

set_telemetry_client()  # off, even where something else has imported MLflow before
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks are told in one line


def keep_files_in(folder: Path) -> None:
    """Have experiments that this process makes keep their files in a folder."""
    os.environ[_SERVER_ARTIFACT_ROOT_ENV_VAR] = str(folder)


def make_database(path: Path, files: Path) -> None:
    """Make a store that is an SQLite file.

    Args:
        path: The file.
        files: The folder of its experiments' files.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore  # without types
    store(f"sqlite:///{path}", str(files)).engine.dispose()


@cache
def origin_tags() -> dict[str, str]:
    """The tags that say where a run comes from."""
    commit = get_git_commit(os.getcwd())  # noqa: PTH109
    tags = {**resolve_tags(), "mlflow.source.name": "eagleeye"}
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


def save_onnx(path: Path, folder: str, model_id: str, run_id: str) -> None:
    """Write an ONNX file as an MLflow model with its signature and an example of its input.

    Args:
        path: The ONNX file.
        folder: Where the model is written.
        model_id: Of the model.
        run_id: Of the run that it comes from.
    """
    import mlflow.onnx
    import onnx

    network = onnx.load(path)
    inputs, outputs = ([_tensor_spec(each) for each in every] for every in (network.graph.input, network.graph.output))
    # A core may take and give several tensors; the one that a network takes needs no name.
    example = {each.name: np.zeros([1, *each.shape[1:]], each.type) for each in inputs}
    mlflow.onnx.save_model(
        network,
        folder,
        mlflow_model=Model(artifact_path=folder, run_id=run_id, model_uuid=model_id, model_id=model_id),
        signature=ModelSignature(Schema([*inputs]), Schema([*outputs])),
        input_example=example if len(example) > 1 else next(iter(example.values())),
        pip_requirements=[f"{package}=={version(package)}" for package in ("onnx", "onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],  # the one that every machine has
        save_as_external_data=False,
    )


def _tensor_spec(tensor: Any) -> TensorSpec:
    sizes = [size.dim_value or -1 for size in tensor.type.tensor_type.shape.dim]
    return TensorSpec(np.dtype(np.float32), sizes, tensor.name)
