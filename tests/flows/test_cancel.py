"""A flow that is stopped stops within seconds, amid a batch of minutes, and goes on where it stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from flows import prefect_context
from flows.prefect_context import FlowContext
from tasks.run.shared import Shared
from tasks.settings import read_params
from tests.flows.project import PROMPT

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("prefect_server")
SECONDS = 15.0  # for a process to end on a busy machine; a batch takes 30


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value(), **PROMPT}
    processes = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "tests/flows/slow.py"), *arguments]
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def kept(folder: Path) -> list[str]:
    file = folder / "kept.txt"
    return file.read_text().split() if file.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_flow_at_the_row_at_hand(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, number: signal.Signals
) -> None:
    process = started("run", "1000")
    wait_for(lambda: len(kept(tmp_path)) >= 4, 60)
    process.send_signal(number)
    assert process.wait(SECONDS) != 0
    found = kept(tmp_path)
    assert len(found) < 200
    assert started("run", str(max(map(int, found)) + 5)).wait(120) == 0
    again = kept(tmp_path)
    assert again[: len(found)] == found
    assert len(again) == len(set(again))
    assert set(map(str, range(max(map(int, found)) + 5))) <= set(again)


@pytest.mark.slow
def test_prefect_cancels_a_flow_at_the_row_at_hand(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    started("serve")
    with get_client(sync_client=True) as client:
        # Other tests' deployments may be there, too.
        wait_for(lambda: "slow" in [deployment.name for deployment in client.read_deployments()], 90)
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("slow/slow").id)
        wait_for(lambda: len(kept(tmp_path)) >= 4, 120)
        environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value()}
        subprocess.run(
            [sys.executable, "-m", "prefect", "flow-run", "cancel", str(run.id)], env=environment, check=True
        )

        def cancelled() -> bool:
            state = client.read_flow_run(run.id).state
            return state is not None and state.is_cancelled()

        wait_for(cancelled, 30)
    found = kept(tmp_path)
    time.sleep(3)
    assert kept(tmp_path) == found
    assert len(found) < 300


def test_a_batch_that_waits_for_another_attempt_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_context, "DELAYS", [600, 600, 600])

    def work(_shared: Shared, item: int) -> int:
        if item == 0:
            raise OSError("not now")
        time.sleep(0.5)
        return item

    @flow
    def stopped() -> None:
        shared = Shared(read_params(ROOT / "params.yaml"), "key", (), "cpu")
        rows = FlowContext("stopped").map(work, range(20), shared, keep=lambda *_: None, batch=10, workers=2)
        next(rows)
        rows.close()

    begun = time.monotonic()
    stopped()
    assert time.monotonic() - begun < SECONDS
