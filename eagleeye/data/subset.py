"""Calibration and sub-validation images: drawn from the training set, disjoint, stored as Parquet.

The calibration images re-estimate the batch-normalisation statistics of a candidate, the sub-validation
images score it (EagleEye, section 3.3). Both come from the training set, so that the test set stays untouched
by the search.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from eagleeye.data.images import ImageSet, Labels, read
from eagleeye.data.parquet import ParquetImages, hub_metadata, opened, read_column, read_integers
from eagleeye.data.targets import Targeted, read_target
from eagleeye.errors import ConfigError, DataError
from eagleeye.files import written_whole

_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("label", pa.int64()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
)
# Rows in memory at once: a thirtieth of ImageNet takes gigabytes.
_GROUP = 1000
_TARGET = "target"
_METADATA = b"eagleeye"
_KIND = "target_kind"
_NO_METADATA: dict[str, Any] = {"labelled": True, _KIND: None}


@dataclass(frozen=True)
class Subset:
    """Row numbers in the training set.

    Attributes:
        calibration: int64 (n,), in the order in which the images are to be used.
        sub_validation: int64 (m,), likewise.
    """

    calibration: Labels
    sub_validation: Labels


class SubsetImages(ParquetImages):
    """A stored subset.

    Attributes:
        rows: Row of every image in the training set, int64 (N,).
        labelled: Whether they come with classes or other targets.
        about: What else is known of them.
    """

    rows: Labels

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.rows = read_integers(self.paths[0], "row")
        self.about = _own_metadata(self.paths[0])
        self.labelled = bool(self.about["labelled"])
        # Without names there would be numbers; where nothing belongs to a class there are neither.
        if not self.has_names and self.about != _NO_METADATA:
            self.classes = ()

    def named(self, row: int) -> str:
        """A row as error messages name it: by its place in the training set, and here."""
        return f"row {self.rows[row]} of the training set ({self.origin(row)}, row {row})"


class TargetedSubset(SubsetImages):
    """A stored subset whose targets are no classes."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.target_kind = str(self.about[_KIND])
        self._targets = read_column(self.paths[0], _TARGET)

    def encoded_target(self, row: int) -> bytes:
        """The bytes of the target in a row, as stored."""
        found: bytes = self._targets[row].as_py()
        return found


def draw_subset(
    labels: npt.NDArray[np.int64],
    *,
    calibration: float | int = 1 / 30,
    sub_validation: float | int,
    seed: int,
    classes: Sequence[str] = (),
) -> Subset:
    """Draw disjoint, class-balanced calibration and sub-validation images from a training set.

    Classes give equally many images, up to one where the count does not divide. A class too small for its
    share gives what it may and the others make up for it. For sub-validation a class gives at most half of
    its images, because these are kept out of fine-tuning and no class may vanish from there; for calibration,
    all that are left. Neither draw depends on the other's count, as long as no class is used up.

    The order is random, but every prefix is class-balanced as well (up to one image, as long as all classes have
    images left), so that a part of the images is as good a sample as it can be.

    Args:
        labels: Labels of the training set, int64 (N,).
        calibration: A count (int), or a fraction of N (float in (0, 1)).
        sub_validation: Likewise.
        seed: The same seed draws the same images.
        classes: Names of the classes, to find empty ones and to name them.

    Returns:
        Row numbers of both.

    Raises:
        ConfigError: A count or fraction is out of range.
        DataError: A class has no images, or there are too few images.
    """
    labels = np.asarray(labels, dtype=np.int64)
    available = _class_sizes(labels, classes)
    wanted = {
        "calibration": _count(calibration, len(labels), "calibration"),
        "sub_validation": _count(sub_validation, len(labels), "sub_validation"),
    }
    for_rows, for_scores, for_bn = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    scoring = _shares(wanted["sub_validation"], available // 2, for_scores, "sub_validation", "half of each class")
    adapting = _shares(wanted["calibration"], available - scoring, for_bn, "calibration", "what sub_validation leaves")
    shuffled = [for_rows.permutation(np.flatnonzero(labels == label)) for label in range(len(available))]
    return Subset(
        # One from the end and the other from the start of each class's shuffled rows: disjoint.
        calibration=_in_turn([rows[len(rows) - n :] for rows, n in zip(shuffled, adapting, strict=True)], for_bn),
        sub_validation=_in_turn([rows[:n] for rows, n in zip(shuffled, scoring, strict=True)], for_scores),
    )


def write_subset(path: str | Path, images: ImageSet, rows: Sequence[int] | Labels) -> None:
    """Store images with the row numbers they came from, as Parquet by the hub's convention.

    Columns: `row` int64, row number in the training set; `label` int64; `image` struct<bytes, path>, the
    encoded image untouched; where targets are no classes, `target`, the encoded target. The same input gives the same
    file, byte for byte.

    Args:
        path: The file to write.
        images: The training set.
        rows: Row numbers in it.

    Raises:
        ArtifactError: The file cannot be written.
        DataError: An image cannot be read.
    """
    numbers = np.asarray(rows, dtype=np.int64)
    labels = np.asarray(images.labels, dtype=np.int64)[numbers]
    schema = _schema(images)
    # Encoded images do not compress any further.
    settings = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, schema, **settings) as writer:
        for start in range(0, len(numbers), _GROUP):
            part = slice(start, start + _GROUP)
            encoded = [{"bytes": read(images, int(row)), "path": None} for row in numbers[part]]
            columns = {"row": numbers[part], "label": labels[part], "image": encoded}
            if isinstance(images, Targeted):
                columns[_TARGET] = [read_target(images, int(row)) for row in numbers[part]]
            writer.write_table(pa.table(columns, schema=schema))


def read_subset(path: str | Path) -> SubsetImages:
    """Open a stored subset as an image set, with the training set's row numbers in its attribute `rows`.

    Raises:
        DataError: The file is missing or damaged.
    """
    found = SubsetImages(path)
    return TargetedSubset(path) if found.about[_KIND] else found


def _schema(images: ImageSet) -> pa.Schema:
    metadata = hub_metadata(images.classes)
    own = _NO_METADATA | {"labelled": getattr(images, "labelled", True)}
    schema = _SCHEMA
    if isinstance(images, Targeted):
        own[_KIND] = images.target_kind
        schema = schema.append(pa.field(_TARGET, pa.binary()))
    # Classes are what the hub's convention is about: nothing is added there.
    more = {} if own == _NO_METADATA else {_METADATA: json.dumps(own).encode()}
    return schema.with_metadata(metadata | more)


def _own_metadata(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        stored = (file.schema_arrow.metadata or {}).get(_METADATA)
    return _NO_METADATA | (json.loads(stored) if stored else {})


def _class_sizes(labels: Labels, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    if not len(labels):
        raise DataError("the training set is empty: there is nothing to draw from")
    found, counts = np.unique(labels, return_counts=True)
    if found[0] < 0:
        raise DataError(f"row {np.argmin(labels)} has label {found[0]}: labels are counted from 0")
    # Of those there should be, the first that is not there; labels may be far apart.
    expected = max(len(classes), int(found[-1]) + 1)
    if len(found) < expected:
        missing = int(np.argmax(found != np.arange(len(found)))) if found[-1] >= len(found) else len(found)
        name = f" ({classes[missing]})" if missing < len(classes) else ""
        raise DataError(
            f"class {missing}{name} is empty: the training set has no image of it; add some or remove the class"
        )
    return counts.astype(np.int64)


def _count(wanted: float | int, total: int, name: str) -> int:
    if isinstance(wanted, float) and 0 < wanted < 1:
        return max(1, round(wanted * total))
    if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1:
        return wanted
    raise ConfigError(f"{name} must be a count (a whole number from 1) or a fraction between 0 and 1; got {wanted!r}")


def _in_turn(classes: list[Labels], random: np.random.Generator) -> Labels:
    """One row of every class that has any left, then the next of each, and so on; every turn in random order."""
    turns = np.concatenate([np.arange(len(rows)) for rows in classes])
    return np.concatenate(classes)[np.lexsort((random.permutation(len(turns)), turns))]


def _shares(
    wanted: int, available: npt.NDArray[np.int64], random: np.random.Generator, name: str, source: str
) -> npt.NDArray[np.int64]:
    """Split a count over classes as equally as `available` (per class) allows, remainders at random."""
    if wanted > available.sum():
        raise DataError(
            f"{name}: {wanted} images are wanted, but only {available.sum()} can be had ({source}): ask for fewer"
        )
    shares = np.zeros_like(available)
    while (missing := wanted - int(shares.sum())) > 0:
        open_classes = np.flatnonzero(shares < available)
        if missing < len(open_classes):
            shares[random.choice(open_classes, missing, replace=False)] += 1
        else:
            room = int((available - shares)[open_classes].min())
            shares[open_classes] += min(missing // len(open_classes), room)
    return shares
