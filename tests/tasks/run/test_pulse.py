"""No silence is longer than it may be, wherever it comes from."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.run.pulse import Pulse, TerminalPulse, doing

ROOT = Path(__file__).resolve().parents[3]


def test_a_silence_is_broken_with_who_does_what_and_for_how_long() -> None:
    told: list[str] = []
    with Pulse("evaluate", told.append, silence=0.2):
        time.sleep(0.7)
        doing("scoring candidates")
        time.sleep(0.5)
        doing("ranking")
    assert told[0] == "evaluate: starting, 0 s"
    assert "evaluate: scoring candidates" in told  # at once
    assert "evaluate: scoring candidates, 0 s" in told
    assert told[-1] == "evaluate: ranking"
    assert 4 <= len(told) <= 8
    told.clear()
    time.sleep(0.5)
    assert told == []


def test_who_speaks_is_not_interrupted() -> None:
    told: list[str] = []
    with Pulse("evaluate", told.append, silence=0.4) as pulse:
        for _ in range(12):
            time.sleep(0.1)
            pulse.heard()
    assert told == []


def test_in_a_terminal_all_that_is_written_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with TerminalPulse("subset", silence=0.4):
        for stream in (sys.stdout, sys.stderr) * 6:
            time.sleep(0.1)
            stream.write("x")
        assert "subset" not in err.getvalue()
        time.sleep(0.7)
    assert out.getvalue() == "x" * 6
    assert re.fullmatch(r"x{6}(subset: starting, \d s\n)+", err.getvalue())
    assert sys.stdout is out


SLOW = """
import sys, time
from tasks.run.console import Terminal
from tasks.run.pulse import TerminalPulse
with TerminalPulse("evaluate"):
    terminal = Terminal()
    with terminal.progress("evaluate generation 10/10 (256 + 1024 images)", 106, "candidates", 96) as advance:
        time.sleep(0.3)
        for _ in range(10):
            advance()
    terminal.say("a sentence of more than eighty letters that goes on and on, " * 3)
    with terminal.progress("testing the networks that were fine-tuned, which takes a while", 3, "networks") as advance:
        advance()
"""


def test_nothing_is_cut_off_in_a_terminal_of_80_columns() -> None:
    main, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-c", SLOW]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment, start_new_session=True) as run:
        os.close(terminal)
        written = b""
        while chunk := _read(main):
            written += chunk
    assert run.returncode == 0
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode()))
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    assert any("106/106" in line and line.rstrip().endswith("left") for line in lines)
    words = [line.strip() for line in lines if "sentence" in line or "letters" in line]
    assert " ".join(words).count("letters") == 3  # no word is broken


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
