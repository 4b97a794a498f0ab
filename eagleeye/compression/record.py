"""What a search has found, in a file: one that was killed goes on from there."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import eagleeye
from eagleeye.data import Batches
from eagleeye.engine import Engine
from eagleeye.errors import ArtifactError
from eagleeye.forward.structures import tensors
from eagleeye.scoring.entry import Entry
from eagleeye.scoring.racing import Rung, Scores
from eagleeye.search import Memory
from eagleeye.strategies import Strategy
from eagleeye.task import Task

_TABLES = """
CREATE TABLE IF NOT EXISTS scores (
    search TEXT, widths TEXT, calibration INTEGER, images INTEGER, numbers TEXT, statistics BLOB,
    PRIMARY KEY (search, widths, calibration, images)
);
CREATE TABLE IF NOT EXISTS evidence (
    search TEXT, widths TEXT, calibration INTEGER, images INTEGER, score TEXT, packed BLOB,
    PRIMARY KEY (search, widths, calibration, images, score)
);
CREATE TABLE IF NOT EXISTS trainings (training TEXT PRIMARY KEY, state BLOB);
"""
State = dict[str, Any]


class Record(Memory):
    """A memory whose file has every evaluation before the search goes on.

    One file may hold several searches: what is found is known by everything that determines it.
    """

    def __init__(self, engine: Engine, path: str | Path) -> None:
        """Open the file, or make it.

        Args:
            engine: What scores.
            path: The file.

        Raises:
            ArtifactError: It cannot be opened, or is another kind of file.
        """
        super().__init__(engine)
        self._path = Path(path)
        self._key = key_of(engine)
        self._lock = threading.Lock()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
            self._file.executescript(_TABLES)
            self._read()
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def keep(self, entry: Entry, scores: Scores, statistics: bytes | None) -> None:
        """See `eagleeye.scoring.race.Record.keep`."""
        rung = entry.rung
        row = [self._key, json.dumps(entry.strategy.widths), rung.calibration, rung.sub_validation]
        # What a score is made of first: a score alone would be taken for all there is.
        self._write(
            "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?)",
            *([*row, name, packed] for name, packed in scores.images.items()),
        )
        self._write(
            "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?)",
            [*row, json.dumps(dict(scores.values)), statistics],
        )
        super().keep(entry, scores, statistics)

    def drop(self, strategies: Iterable[Strategy]) -> None:
        """See `eagleeye.scoring.race.Record.drop`."""
        strategies = list(strategies)
        rows = [[self._key, json.dumps(strategy.widths)] for strategy in strategies]
        self._write("UPDATE scores SET statistics = NULL WHERE search = ? AND widths = ?", *rows)
        super().drop(strategies)

    def state(self, training: str) -> State | None:
        """The last state of a training.

        Args:
            training: Everything else that determines it.
        """
        key = [f"{self._key} {training}"]
        row = self._file.execute("SELECT state FROM trainings WHERE training = ?", key).fetchone()
        return None if row is None else torch.load(io.BytesIO(row[0]), weights_only=True)

    def keep_state(self, training: str, state: State) -> None:
        """Put the state of a training on record.

        Args:
            training: Everything else that determines it.
            state: From `eagleeye.train.train`.
        """
        file = io.BytesIO()
        torch.save(state, file)
        self._write("INSERT OR REPLACE INTO trainings VALUES (?, ?)", [f"{self._key} {training}", file.getvalue()])

    def folder(self, widths: tuple[int, ...]) -> Path:
        """Where a loop of the user's own keeps the state of its training, beside the file.

        Args:
            widths: The network's.
        """
        name = hashlib.sha256(f"{self._key} {widths}".encode()).hexdigest()[:16]
        return self._path.with_name(f"{self._path.name}.training") / name

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> None:
        packed: dict[tuple[object, ...], dict[str, bytes]] = {}
        query = "SELECT widths, calibration, images, score, packed FROM evidence WHERE search = ?"
        for *place, score, images in self._file.execute(query, [self._key]):
            packed.setdefault(tuple(place), {})[score] = images
        query = (
            "SELECT widths, calibration, images, numbers, statistics FROM scores WHERE search = ? ORDER BY calibration"
        )
        for text, calibration, images, numbers, statistics in self._file.execute(query, [self._key]):
            widths = tuple(json.loads(text))
            found = Scores(json.loads(numbers), packed[text, calibration, images])
            self._scores[widths, Rung(calibration, images)] = found
            if statistics is not None:
                self._statistics[widths] = calibration, statistics

    def _write(self, statement: str, *rows: list[Any]) -> None:
        with self._lock:
            try:
                with self._file:
                    self._file.execute("BEGIN")
                    self._file.executemany(statement, rows)
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ArtifactError:
        return ArtifactError(
            f"resume: {self._path} cannot be used ({error}); give a file of a former search, or one that is not there"
        )


def key_of(engine: Engine) -> str:
    """A hash of everything but its widths that determines a candidate's scores.

    Args:
        engine: What scores.
    """
    digest = hashlib.sha256()
    space = engine.whole.space
    words = (
        *(eagleeye.__version__, torch.__version__, engine.parent.device.type, engine.dtype, engine.method.mode),
        *(engine.method.iterations, engine.calibration.batch_size, space.graph, space.channels, _source(engine.task)),
    )
    digest.update(repr([str(word) for word in words]).encode())
    for name, tensor in engine.whole.whole.state_dict().items():
        digest.update(name.encode())
        _add(digest, tensor)
    for batches in (engine.calibration, engine.sub_validation):
        _add_images(digest, batches)
    return digest.hexdigest()


def _source(task: Task) -> str:
    """What a task does: one of somebody's own may have been edited since, under the same name."""
    parts = [type(task), *(scorer.measure for scorer in task.scorers.values())]
    return f"{task.name} {list(task.scorers)} " + "".join(_text(part) for part in parts)


def _text(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):  # typed into a terminal, or not written in Python
        return str(getattr(part, "__qualname__", type(part)))


def _add_images(digest: Any, batches: Batches[Any]) -> None:
    inputs = batches.part(0, 1)
    _add(digest, inputs[0] if batches.labelled else inputs)
    _add(digest, batches.pixels)
    for tensor in tensors(batches.labels):
        _add(digest, tensor)


def _add(digest: Any, tensor: Tensor) -> None:
    digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
    for part in torch.split(tensor, 256) if tensor.dim() else [tensor]:
        digest.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
