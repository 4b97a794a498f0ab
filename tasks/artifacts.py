"""The pipeline's artefacts: where each lies, who writes it, and how tables are written whole or not at all."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole
from eagleeye.task import CLASSIFICATION, Order, Task
from eagleeye.task.scores import VANILLA

Schemas = dict[Path, pa.Schema]

# Relative to the project's folder, the working directory of every stage; dvc.yaml lists the same paths as outputs.
FOLDER = Path("artifacts")
WATCHED_DATA = FOLDER / "watched" / "data.json"
WATCHED_CHECKPOINT = WATCHED_DATA.with_name("checkpoint.json")
WATCHED_CODE = WATCHED_DATA.with_name("code.json")
PREPROCESS = FOLDER / "preprocess.json"
CALIBRATION = FOLDER / "calibration.parquet"
SUB_VALIDATION = FOLDER / "sub_validation.parquet"
BASELINE = FOLDER / "baseline.safetensors"
BASELINE_HISTORY = FOLDER / "baseline_history.parquet"
STRATEGIES = FOLDER / "strategies.parquet"
CANDIDATES = FOLDER / "candidates.parquet"
GROUPS = FOLDER / "groups.parquet"
SCORES = FOLDER / "scores.parquet"
RANKING = FOLDER / "ranking.parquet"
FINETUNE = FOLDER / "finetune"
RESULTS = FINETUNE / "results.parquet"
FINETUNE_HISTORY = FINETUNE / "history.parquet"
PRUNED = FINETUNE / "pruned.safetensors"
REPORT = FOLDER / "report"
PLOTS = FOLDER / "plots"
METRICS = Path("metrics.json")
CORRELATION = FOLDER / "correlation"
STUDIED = CORRELATION / "candidates.parquet"
FITS = CORRELATION / "fits.parquet"
FIT_HISTORY = CORRELATION / "history.parquet"
COEFFICIENTS = CORRELATION / "coefficients.parquet"
DISTANCES = CORRELATION / "distances.parquet"
WEIGHTS = CORRELATION / "weights.parquet"
CORRELATION_PLOT = FOLDER / "correlation.csv"
CORRELATION_METRICS = Path("correlation.json")
# Candidates that were fine-tuned apart from the pipeline: no stage's output.
EXTRA = FOLDER / "extra"

# The origin of the evenly pruned network. Whatever becomes of it in the race, it is scored on all images and fine-tuned
# for comparison; by the published protocol it does not compete.
REFERENCE = "even"
# The origin of candidates that need no search: widths allocated by error, and the even network filled up to the budget.
ALLOCATED = "allocated"

# Progress of unfinished work, by content: outside the outputs, which DVC deletes before it runs a stage.
CACHE = Path(".eagleeye")
SCOREBOOK = CACHE / "scores.sqlite"
DECODED = CACHE / "decoded"
STUDIES = CACHE / "studies"
LATENCY = CACHE / "latency.json"
DIGESTS = CACHE / "digests.sqlite"
# How many images the subset stage has found, for an estimate of what follows.
COUNTS = CACHE / "images.json"

_STRINGS = pa.list_(pa.string())
_ID = pa.field("id", pa.string(), nullable=False)


def _number(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.float64(), nullable=nullable)


def _count(name: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=nullable)


@cache
def schemas(columns: tuple[str, ...], order: tuple[str, ...], images: str, metrics: tuple[str, ...]) -> Schemas:
    """The columns of every table.

    Args:
        columns: Names of the task's scores, as in `eagleeye.task.Task.columns`.
        order: The two scores that choose an epoch and are told of the test images.
        images: What the first of them is called image by image.
        metrics: Columns of metrics of the whole test set.
    """
    validated = [_number(f"validation_{name}") for name in order]
    tested = [_number(f"test_{name}") for name in order]
    hits = [pa.field(f"test_{images}", pa.binary(), nullable=False)] if images else []
    strategies = [
        _ID,
        pa.field("origin", pa.string(), nullable=False),
        _count("macs"),
        _count("params"),
        _number("macs_fraction"),
        _number("params_fraction"),
        _number("latency", nullable=True),
        pa.field("rates", pa.list_(pa.float64()), nullable=False),
        pa.field("widths", pa.list_(pa.int64()), nullable=False),
    ]
    scores = [
        *(_number(name, nullable=name.startswith(VANILLA)) for name in columns),
        _count("calibration_images"),
        _count("images"),
    ]
    history = [_count("epoch"), _number("lr"), _number("train_loss"), *validated]
    fit = [_ID, _count("seed")]
    found = {
        STRATEGIES: strategies,
        CANDIDATES: strategies,
        GROUPS: [
            _count("group"),
            pa.field("name", pa.string(), nullable=False),
            _count("channels"),
            pa.field("members", _STRINGS, nullable=False),
        ],
        SCORES: [
            _ID,
            *scores,
            pa.field("competes", pa.bool_(), nullable=False),
            pa.field("evidence", pa.binary(), nullable=False),
        ],
        RANKING: [
            _count("rank", nullable=True),
            pa.field("ranked_by", pa.string(), nullable=False),
            *strategies,
            *scores,
            _number("score_low"),
            _number("score_high"),
            _number("beats_next", nullable=True),
        ],
        BASELINE_HISTORY: history,
        FINETUNE_HISTORY: [_ID, *history],
        RESULTS: [
            _ID,
            pa.field("role", pa.string(), nullable=False),
            _count("rank", nullable=True),
            pa.field("file", pa.string(), nullable=False),
            _count("macs"),
            _count("params"),
            _count("best_epoch", nullable=True),
            *validated[:1],
            *tested,
            *map(_number, metrics),
            _count("test_images"),
            *hits,
        ],
        STUDIED: [
            _ID,
            pa.field("origin", pa.string(), nullable=False),
            _count("rank", nullable=True),
            _count("params"),
            *map(_number, columns),
            *tested[:1],
            _number("test_low"),
            _number("test_high"),
        ],
        FITS: [*fit, _count("best_epoch", nullable=True), *validated[:1], *tested],
        FIT_HISTORY: [*fit, *history],
        COEFFICIENTS: [
            pa.field("score", pa.string(), nullable=False),
            pa.field("measure", pa.string(), nullable=False),
            *(_number(name, nullable=True) for name in ("value", "low", "high")),
        ],
        DISTANCES: [
            *fit,
            pa.field("layer", pa.string(), nullable=False),
            *(_number(f"{kind}_{moment}") for kind in ("vanilla", "adaptive") for moment in ("mean", "variance")),
        ],
        WEIGHTS: [
            *fit,
            pa.field("layer", pa.string(), nullable=False),
            pa.field("edges", pa.list_(pa.float64()), nullable=False),
            pa.field("before", pa.list_(pa.int64()), nullable=False),
            pa.field("after", pa.list_(pa.int64()), nullable=False),
            _number("shift"),
        ],
    }
    return {path: pa.schema(fields) for path, fields in found.items()}


def schema_of(path: Path, task: Task = CLASSIFICATION, metrics: Sequence[str] = ()) -> pa.Schema:
    """The columns of one of the tables of docs/tables.md.

    Args:
        path: Which table.
        task: What the network is for; of no matter for tables that are the same for every task.
        metrics: Columns of metrics of the whole test set.
    """
    by = task.order()
    return schemas(task.columns, (by.first.name, by.second.name), by.first.images, tuple(metrics))[path]


TABLES = tuple(schemas((), (), "", ()))
"""The tables of docs/tables.md."""


def _fits(path: Path, schema: pa.Schema) -> bool:
    """Whether a table has the columns that it has for every task, in their order, and beside them a task's scores."""
    fixed = schemas((), (), "", ()).get(path)
    if fixed is None:
        return True
    own = [field for field in schema if field.name not in fixed.names]
    known = [field for field in schema if field.name in fixed.names]
    if path == FINETUNE_HISTORY:
        known = [field.with_nullable(False) for field in known]
    return pa.schema(known) == fixed and all(field.type in (pa.float64(), pa.binary()) for field in own)


def write_table(path: Path, table: pd.DataFrame, task: Task = CLASSIFICATION) -> None:
    """Write one of the tables of docs/tables.md.

    Args:
        path: Which table.
        table: Its rows, with at least the columns of `schema_of`.
        task: What the network is for; of no matter for tables that are the same for every task.

    Raises:
        ArtifactError: It cannot be written, for instance because the disk is full.
    """
    known = schema_of(path, task).names
    metrics = [name for name in table.columns if path == RESULTS and name.startswith("test_") and name not in known]
    schema = schema_of(path, task, metrics)
    if path == FINETUNE_HISTORY:
        schema = _with_told(schema, table)
    columns = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)
    # pandas' own metadata names library versions: without it the same rows give the same bytes everywhere.
    with written_whole(path) as beside:
        pq.write_table(columns.replace_schema_metadata(None), beside)


def _with_told(schema: pa.Schema, history: pd.DataFrame) -> pa.Schema:
    """A history with what a loop of the user's own has told besides; null where it has told nothing."""
    usual = [field.with_nullable(bool(history[field.name].isna().any())) for field in schema]
    told = [name for name in history.columns if name not in (*schema.names, "images_per_second")]
    return pa.schema([*usual, *(_number(str(name), nullable=True) for name in told)])


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        ArtifactError: It cannot be written.
    """
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def require(*paths: Path) -> None:
    """Check that artefacts of earlier stages are there.

    Raises:
        ArtifactError: One is missing.
    """
    for path in paths:
        if not path.exists():
            raise ArtifactError(f"{path} is missing: run `dvc repro`, which makes it")


def read_table(path: Path) -> pd.DataFrame:
    """Read one of the tables of docs/tables.md.

    Args:
        path: Which table.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    require(path)
    try:
        # As a file: a folder would be read as a data set of many.
        table = pq.ParquetFile(path).read()
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = "a folder" if path.is_dir() else " ".join(str(error).split())
        raise ArtifactError(f"{path} is damaged ({reason}): delete it and run `dvc repro`") from error
    if not _fits(path, table.schema):
        raise ArtifactError(
            f"{path} is damaged (other columns than docs/tables.md says): delete it and run `dvc repro`"
        )
    # Nullable integers, so that "no rank" does not turn ranks into floats.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows, each by the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def column_of(metric: str) -> str:
    """The column of a metric of the whole test set, e.g. `test_mIoU`."""
    return f"test_{metric.replace(' ', '_')}"


def metrics_of(row: Mapping[str, Any], by: Order) -> dict[str, float]:
    """The metrics of the whole test set in a row of results, by their names.

    Args:
        row: Of results.parquet.
        by: What is told of the test images beside them.
    """
    others = {f"test_{each.name}" for each in (by.first, by.second)} | {"test_images", f"test_{by.first.images}"}
    return {
        name.removeprefix("test_").replace("_", " "): float(value)
        for name, value in row.items()
        if name.startswith("test_") and name not in others
    }
