"""A way of scoring in a process of its own: its memory is its own, and it waits while the others run."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.hardware import large_convolution
from benchmarks.subjects import open_subject
from benchmarks.ways import Plain, Published, Raced, Row, Way
from eagleeye.scoring.racing import Rung

FEWER = Rung(256, 512)
VARIANTS: dict[str, dict[str, Any]] = {
    "engine, fewer images": {"first": FEWER},
    "engine, no race": {"first": None},
    "engine, float32": {"precision": "float32"},
}
"""The engine with other settings than the default ones."""
WAYS = ("published", "plain", "engine", *VARIANTS)


class Worker:
    """A process that scores candidates in one way.

    Args:
        way: One of `WAYS`.
        subject: Name of a subject.
        count: Number of candidates.
    """

    def __init__(self, way: str, subject: str, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way, subject, count))
        self._process.start()

    def score(self, places: Sequence[int]) -> list[Row]:
        """Score the candidates at some places of the list."""
        return self._ask(list(places))

    def end(self) -> dict[str, float]:
        """Stop the process.

        Returns:
            Its peak memory in MiB, without what the interpreter and the images took before, and the MAC/s of a large
            convolution in its precision.
        """
        facts: dict[str, float] = self._ask(None)
        self._process.join()
        return facts

    def _ask(self, what: list[int] | None) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


def make(way: str, subject: Any) -> Way:
    """A way by name."""
    if way == "published":
        return Published(subject)
    if way == "plain":
        return Plain(subject)
    return Raced(subject, **VARIANTS.get(way, {}))


def _serve(pipe: Connection, way: str, name: str, count: int) -> None:
    subject = open_subject(name)
    candidates = subject.candidates(count)
    before = _peak()
    worker = make(way, subject)
    while (places := pipe.recv()) is not None:
        pipe.send(worker.score([candidates[place] for place in places]))
    dtype = worker.engine.dtype if isinstance(worker, Raced) else torch.float32
    pipe.send({"memory": _peak() - before, "limit": large_convolution(dtype)})


def _peak() -> float:
    mine, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (mine + children) / 1024
