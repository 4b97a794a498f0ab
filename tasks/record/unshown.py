"""What MLflow has not been shown yet, kept where no later search replaces it.

A stage keeps a view of its search when it begins, adds what it finds, and keeps the view of its tables when it ends.
Once that is shown it is forgotten. So what is still here when another stage begins was missed, because MLflow was away
or the process was killed, and is shown first. It does not say where MLflow is: mended settings apply to it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole
from tasks.artifacts import CACHE
from tasks.record.progress import Progress
from tasks.record.shown import Report, Tuning, Upload, View, Winner
from tasks.record.texts import Candidate, Terms
from tasks.state.content_key import content_key

FOLDER = CACHE / "unshown"
FOUND = {kind.__name__: kind for kind in (Candidate, Tuning)}


class Unshown:
    """A stage of a search, with its files as hard links beside; on disk when a method returns."""

    def __init__(self, folder: Path) -> None:
        """Name a place, which need not be there yet."""
        self._folder, self._view, self._found = folder, folder / "view.json", folder / "found.jsonl"

    @classmethod
    def of(cls, stage: str, view: View) -> Self:
        """Where a stage of the search that a view is of is kept; a search with other settings has another place."""
        settings = json.dumps(view.settings, sort_keys=True)
        return cls(FOLDER / content_key({"search": view.key, "settings": settings, "stage": stage})[:16])

    def begin(self, view: View) -> None:
        """Keep that a stage has begun; what is kept of it since a run that was killed stays until it ends.

        Args:
            view: The search without what the stage will add.

        Raises:
            ArtifactError: It cannot be written.
        """
        for left in FOLDER.glob("*"):
            if not (left / "view.json").is_file():  # killed while it was made or forgotten
                shutil.rmtree(left, ignore_errors=True)
        if not self._view.is_file():
            self.put(view, "KILLED")
        elif lines := self._lines():
            with written_whole(self._found) as beside:
                beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def put(self, view: View, status: str) -> None:
        """Keep a view in the place of what was kept before.

        Args:
            view: All that is to be shown.
            status: How the stage ended.

        Raises:
            ArtifactError: It cannot be written.
        """
        try:
            told = {"status": status, "view": asdict(self._with_files(view))}
        except OSError as error:
            raise self._unwritten(error) from error
        with written_whole(self._view) as beside:
            beside.write_text(json.dumps(told, default=os.fspath), encoding="utf-8")
        self._found.unlink(missing_ok=True)

    def add(self, found: Candidate | Tuning) -> None:
        """Keep what a stage at work has found.

        Raises:
            ArtifactError: It cannot be written.
        """
        try:
            with self._found.open("a", encoding="utf-8") as file:
                file.write(json.dumps({type(found).__name__: asdict(found)}) + "\n")
        except OSError as error:
            raise self._unwritten(error) from error

    def read(self) -> tuple[View, str]:
        """What is to be shown, and how the stage ended: KILLED if it came to no end.

        Raises:
            ArtifactError: It is damaged.
        """
        found = Progress()
        try:
            told = json.loads(self._view.read_text(encoding="utf-8"))
            for line in self._lines():
                ((kind, values),) = json.loads(line).items()
                found.told(FOUND[kind](**values))
            return found.added_to(_view(told["view"])), told["status"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self} is damaged ({' '.join(str(error).split())}): delete this folder to go on without what MLflow"
                " has not been shown of it"
            ) from error

    def forget(self) -> None:
        """It is shown."""
        self._view.unlink(missing_ok=True)  # first: killed in between, it is not shown again
        shutil.rmtree(self._folder, ignore_errors=True)

    def __str__(self) -> str:
        return str(self._folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unshown) and self._folder == other._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def _lines(self) -> list[str]:
        """What was found; without a last line that a kill has cut off."""
        return self._found.read_text(encoding="utf-8").split("\n")[:-1] if self._found.is_file() else []

    def _with_files(self, view: View) -> View:
        winner = view.winner
        reports = [replace(one, folder=self._kept(one.folder)) for one in view.reports]
        if winner is not None:
            onnx = self._linked(winner.onnx, winner.checkpoint.content)
            winner = replace(winner, checkpoint=self._kept(winner.checkpoint), onnx=onnx)
        return replace(view, ranking=view.ranking and self._kept(view.ranking), winner=winner, reports=reports)

    def _kept(self, upload: Upload) -> Upload:
        return replace(upload, path=self._linked(upload.path, upload.content))

    def _linked(self, path: Path, content: str) -> Path:
        """A file or folder as it is now: artefacts are replaced whole, never written into."""
        kept = self._folder / content / path.name
        if path.is_dir():
            shutil.copytree(path, kept, copy_function=_link, dirs_exist_ok=True)
        else:
            kept.parent.mkdir(parents=True, exist_ok=True)
            _link(path, kept)
        return kept

    def _unwritten(self, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"{self}: what MLflow is to be shown cannot be kept ({error}); scores are kept: make room or mend the"
            " permissions, and run again"
        )


def unshown() -> list[Unshown]:
    """All that was missed, the oldest first."""
    views = sorted(FOLDER.glob("*/view.json"), key=lambda path: path.stat().st_mtime_ns)
    return [Unshown(path.parent) for path in views]


def _link(path: str | Path, kept: str | Path) -> None:
    if Path(kept).exists():  # of the same content
        return
    try:
        os.link(path, kept)
    except OSError:  # another file system, or one without hard links
        with written_whole(kept) as beside:
            shutil.copy2(path, beside)


def _view(told: Mapping[str, Any]) -> View:
    """A view from what JSON says of it."""
    ranking, winner = told["ranking"], told["winner"]
    parts: dict[str, Any] = {
        "candidates": [Candidate(**one) for one in told["candidates"]],
        "ranking": ranking and _upload(ranking),
        "tunings": [Tuning(**one) for one in told["tunings"]],
        "winner": winner
        and Winner(**{**winner, "checkpoint": _upload(winner["checkpoint"]), "onnx": Path(winner["onnx"])}),
        "terms": Terms(**{**told["terms"], "metrics": tuple(told["terms"]["metrics"])}),
        "reports": [Report(**{**one, "folder": _upload(one["folder"])}) for one in told["reports"]],
    }
    return View(**{**told, **parts})


def _upload(told: Mapping[str, str]) -> Upload:
    return Upload(Path(told["path"]), told["content"])
