"""The pipeline's artefacts: where each lies, who writes it, and how tables are written whole or not at all."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole
from eagleeye.task.classification import COLUMNS
from eagleeye.task.scores import VANILLA

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
SCHEMAS = {
    STRATEGIES: pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("origin", pa.string(), nullable=False),
            pa.field("macs", pa.int64(), nullable=False),
            pa.field("params", pa.int64(), nullable=False),
            pa.field("macs_fraction", pa.float64(), nullable=False),
            pa.field("params_fraction", pa.float64(), nullable=False),
            pa.field("latency", pa.float64()),
            pa.field("rates", pa.list_(pa.float64()), nullable=False),
            pa.field("widths", pa.list_(pa.int64()), nullable=False),
        ]
    ),
    GROUPS: pa.schema(
        [
            pa.field("group", pa.int64(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("channels", pa.int64(), nullable=False),
            pa.field("members", _STRINGS, nullable=False),
        ]
    ),
    SCORES: pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            *(pa.field(name, pa.float64(), nullable=name.startswith(VANILLA)) for name in COLUMNS),
            pa.field("calibration_images", pa.int64(), nullable=False),
            pa.field("images", pa.int64(), nullable=False),
            pa.field("competes", pa.bool_(), nullable=False),
            pa.field("evidence", pa.binary(), nullable=False),
        ]
    ),
}
SCHEMAS[CANDIDATES] = SCHEMAS[STRATEGIES]
SCHEMAS[RANKING] = pa.schema(
    [
        pa.field("rank", pa.int64()),
        pa.field("ranked_by", pa.string(), nullable=False),
        *SCHEMAS[STRATEGIES],
        *(field for field in SCHEMAS[SCORES] if field.name not in ("id", "competes", "evidence")),
        pa.field("score_low", pa.float64(), nullable=False),
        pa.field("score_high", pa.float64(), nullable=False),
        pa.field("beats_next", pa.float64()),
    ]
)
SCHEMAS[BASELINE_HISTORY] = pa.schema(
    [
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("lr", pa.float64(), nullable=False),
        pa.field("train_loss", pa.float64(), nullable=False),
        pa.field("validation_accuracy", pa.float64(), nullable=False),
        pa.field("validation_loss", pa.float64(), nullable=False),
    ]
)
SCHEMAS[FINETUNE_HISTORY] = pa.schema([pa.field("id", pa.string(), nullable=False), *SCHEMAS[BASELINE_HISTORY]])
SCHEMAS[RESULTS] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("rank", pa.int64()),
        pa.field("file", pa.string(), nullable=False),
        pa.field("macs", pa.int64(), nullable=False),
        pa.field("params", pa.int64(), nullable=False),
        pa.field("best_epoch", pa.int64()),
        pa.field("validation_accuracy", pa.float64(), nullable=False),
        pa.field("test_accuracy", pa.float64(), nullable=False),
        pa.field("test_loss", pa.float64(), nullable=False),
        pa.field("test_images", pa.int64(), nullable=False),
        pa.field("test_hits", pa.binary(), nullable=False),
    ]
)
SCHEMAS[STUDIED] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("rank", pa.int64()),
        pa.field("params", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in COLUMNS),
        pa.field("test_accuracy", pa.float64(), nullable=False),
        pa.field("test_low", pa.float64(), nullable=False),
        pa.field("test_high", pa.float64(), nullable=False),
    ]
)
SCHEMAS[FITS] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        *(SCHEMAS[RESULTS].field(name) for name in ("best_epoch", "validation_accuracy", "test_accuracy", "test_loss")),
    ]
)
SCHEMAS[FIT_HISTORY] = pa.schema([*list(SCHEMAS[FITS])[:2], *SCHEMAS[BASELINE_HISTORY]])
SCHEMAS[COEFFICIENTS] = pa.schema(
    [
        pa.field("score", pa.string(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
SCHEMAS[DISTANCES] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        *(
            pa.field(f"{kind}_{moment}", pa.float64(), nullable=False)
            for kind in ("vanilla", "adaptive")
            for moment in ("mean", "variance")
        ),
    ]
)
SCHEMAS[WEIGHTS] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("edges", pa.list_(pa.float64()), nullable=False),
        pa.field("before", pa.list_(pa.int64()), nullable=False),
        pa.field("after", pa.list_(pa.int64()), nullable=False),
        pa.field("shift", pa.float64(), nullable=False),
    ]
)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write one of the tables of docs/tables.md.

    Args:
        path: Which table: a key of `SCHEMAS`.
        table: Its rows, with exactly the columns of the schema.

    Raises:
        ArtifactError: It cannot be written, for instance because the disk is full.
    """
    schema = SCHEMAS[path]
    columns = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False)
    # pandas' own metadata names library versions: without it the same rows give the same bytes everywhere.
    with written_whole(path) as beside:
        pq.write_table(columns.replace_schema_metadata(None), beside)


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
    if path in SCHEMAS and table.schema != SCHEMAS[path]:
        raise ArtifactError(
            f"{path} is damaged (other columns than docs/tables.md says): delete it and run `dvc repro`"
        )
    # Nullable integers, so that "no rank" does not turn ranks into floats.
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows, each by the names of its columns."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
