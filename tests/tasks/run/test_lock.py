"""One run per working directory, whoever holds it and however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.run.lock import BusyError, only_run

HOLD = """
import sys, time
from tasks.run.lock import only_run
with only_run("stage finetune"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def holder() -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen([sys.executable, "-c", HOLD], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_refused_with_the_name_of_the_holder() -> None:
    process = holder()
    with pytest.raises(BusyError, match=rf"stage finetune \(process {process.pid}, since .*\); wait"), only_run("flow"):
        pass
    process.kill()
    process.wait()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_death_lets_go(kind: signal.Signals) -> None:
    process = holder()
    process.send_signal(kind)
    process.wait()
    with only_run("flow"):
        pass


def test_a_thread_of_the_same_process_is_refused_too() -> None:
    with only_run("first"), pytest.raises(BusyError, match="first"), only_run("second"):
        pass


def test_leaving_by_an_error_lets_go() -> None:
    with pytest.raises(ValueError, match="mine"), only_run("first"):
        raise ValueError("mine")
    with only_run("second"):
        pass


def test_a_holder_that_has_not_said_its_name_is_no_error() -> None:
    with only_run("first"):
        Path(".eagleeye/run.json").unlink()
        with pytest.raises(BusyError, match="just begun"), only_run("second"):
            pass


def test_who_waits_is_told_for_whom_and_goes_on_when_it_has_ended() -> None:
    process, told = holder(), []

    def tell(line: str) -> None:
        told.append(line)
        process.kill()

    with only_run("flow", tell):
        process.wait()
    assert len(told) == 1
    assert "stage finetune" in told[0]
    assert told[0].endswith("waiting until it has ended")
