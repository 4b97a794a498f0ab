"""What MLflow should show of a search, as plain values: nothing here knows where they come from, or MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.record.texts import CLASSES, Candidate, Terms

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Upload:
    """A file or folder among the artefacts: its path, and a hash of what is in it."""

    path: Path
    content: str


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning, finished or under way.

    Attributes:
        candidate: Who is fine-tuned.
        settings: Its settings.
        history: `epoch` and other columns, one value per epoch so far.
        figures: Final figures, `Terms.final` among them; empty while it is under way.
        study: What it is done for beside the search.
    """

    candidate: str
    settings: Mapping[str, object]
    history: History
    figures: Mapping[str, float] = field(default_factory=dict)
    study: str = ""


@dataclass(frozen=True)
class Winner:
    """The network that a search ends with, and what its registered version says of it."""

    checkpoint: Upload
    onnx: Path
    registered: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """A report's name, figures and page."""

    name: str
    figures: Mapping[str, float]
    folder: Upload


@dataclass(frozen=True)
class View:
    """All that should be there of one search.

    Attributes:
        key: Hash of what makes it this search.
        name: Its name for people.
        settings: The settings without the section `tracking`.
        datasets: Facts about the tables of images.
        candidates: In the order of scoring, once per rung of the race.
        ranking: The table of places.
        tunings: Fine-tunings.
        winner: The network that it ends with.
        reports: Reports and studies.
        networks: Figures of the full, the even and the pruned network, as far as they are known.
        terms: What its task calls its scores.
    """

    key: str
    name: str
    settings: Mapping[str, object]
    datasets: Sequence[Mapping[str, Any]]
    candidates: Sequence[Candidate] = ()
    ranking: Upload | None = None
    tunings: Sequence[Tuning] = ()
    winner: Winner | None = None
    reports: Sequence[Report] = ()
    networks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    terms: Terms = CLASSES
