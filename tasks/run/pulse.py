"""Says that the work goes on where nothing has been said for a while. Imports nothing that takes time to import."""

import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Self

SILENCE = 4.0  # seconds without a word

_pulses: list["Pulse"] = []  # that are entered: one, or a flow's within a program's


def doing(what: str) -> None:
    """Note what this process does from now on: told at once after a moment's silence, and again while it takes long.

    At once, because what is done next may not let other threads speak.

    Args:
        what: In a few words, e.g. ``tracing the network``.
    """
    if _pulses:
        _pulses[-1].turn_to(what)


class Pulse:
    """While it is entered, breaks every silence with a line: who is at work, with what and for how long."""

    def __init__(self, name: str, emit: Callable[[str], None], silence: float = SILENCE) -> None:
        """Nothing yet.

        Args:
            name: Who is at work.
            emit: Given the line.
            silence: Seconds.
        """
        self._name = name
        self._emit = emit
        self._silence = silence
        self._heard_at = self._begun = time.monotonic()
        self._what = "starting"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def heard(self) -> None:
        """Something has been said."""
        self._heard_at = time.monotonic()

    def turn_to(self, what: str) -> None:
        """See `doing`."""
        self._what = what
        self._begun = time.monotonic()
        if self._begun - self._heard_at >= self._silence / 4:
            self._heard_at = self._begun
            self._emit(f"{self._name}: {what}")

    def __enter__(self) -> Self:
        self._heard_at = self._begun = time.monotonic()
        self._thread.start()
        _pulses.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _pulses.remove(self)
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._silence / 8):
            now = time.monotonic()
            if now - self._heard_at >= self._silence:
                self._heard_at = now
                self._emit(f"{self._name}: {self._what}, {now - self._begun:.0f} s")


class TerminalPulse(Pulse):
    """Listens to what this process writes to its standard streams, and writes to its standard error."""

    def __init__(self, name: str, silence: float = SILENCE) -> None:
        """See `Pulse`."""
        self._streams = sys.stdout, sys.stderr
        super().__init__(name, self._write, silence)

    def __enter__(self) -> Self:
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_Heard(stream, self.heard) for stream in self._streams)
        return super().__enter__()

    def __exit__(self, *caught: object) -> None:
        super().__exit__(*caught)
        sys.stdout, sys.stderr = self._streams

    def _write(self, line: str) -> None:
        print(line, file=self._streams[1], flush=True)


class _Heard:
    """A stream that tells when it is written to."""

    def __init__(self, stream: IO[str], heard: Callable[[], None]) -> None:
        self._stream = stream
        self._heard = heard

    def write(self, text: str) -> int:
        self._heard()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
