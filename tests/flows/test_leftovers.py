"""Flow runs without a process are put an end to, and free the deployment's only slot; those that have one go on."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Pending, Running

from flows import leftovers
from flows.__main__ import deployments
from flows.leftovers import end_all, end_lost, worker_name
from tests.flows.test_cancel import wait_for

pytestmark = pytest.mark.usefixtures("prefect_server")
ELSEWHERE = {"prefect.worker.name": "elsewhere 1"}
DEAD = {"prefect.worker.name": worker_name(2**22)}  # above the highest process id


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    for deployment in deployments():
        deployment.apply()
    with get_client(sync_client=True) as client:
        yield client
        for run in leftovers._at_work(client):
            client.delete_flow_run(run.id)


@pytest.fixture
def process() -> Iterator[Callable[[UUID], "subprocess.Popen[bytes]"]]:
    processes = []

    def start(run: UUID) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(run)}
        processes.append(subprocess.Popen([sys.executable, "-c", "input()"], env=environment, stdin=-1))
        return processes[-1]

    yield start
    for each in processes:
        each.kill()
        each.wait()


def begun(client: SyncPrefectClient, labels: dict[str, str], *states: "State[None]", name: str = "search") -> UUID:
    """A flow run that a worker with these labels has brought into these states, one after another."""
    deployment = client.read_deployment_by_name(f"eagleeye/{name}")
    parameters = {"candidate": "s0001"} if name == "finetune" else {}
    run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    if labels:
        client.update_flow_run_labels(run.id, labels)
    for state in states:
        client.set_flow_run_state(run.id, state)
    return run.id


def slots(client: SyncPrefectClient, name: str = "search") -> int:
    limit = client.read_deployment_by_name(f"eagleeye/{name}").global_concurrency_limit
    assert limit is not None
    return int(limit.active_slots)


def state(client: SyncPrefectClient, run: UUID) -> str:
    found = client.read_flow_run(run).state
    assert found is not None
    return str(found.name)


def test_a_run_whose_process_is_gone_frees_its_slot(client: SyncPrefectClient) -> None:
    run = begun(client, DEAD, Pending(), Running())
    assert slots(client) == 1
    assert begun(client, {}, Pending()) != run
    assert slots(client) == 1  # the second waits for the first
    assert end_lost() == [client.read_flow_run(run).name]
    assert (state(client, run), slots(client)) == ("Crashed", 0)
    assert "run again" in str(client.read_flow_run(run).state)
    following = begun(client, {}, Pending(), Running())
    assert (state(client, following), slots(client)) == ("Running", 1)


@pytest.mark.parametrize("end", [end_lost, end_all])
def test_a_run_with_a_process_and_one_of_another_machine_go_on(
    client: SyncPrefectClient, process: Callable[[UUID], "subprocess.Popen[bytes]"], end: Callable[[], list[str]]
) -> None:
    here = begun(client, DEAD, Pending(), Running())
    there = begun(client, ELSEWHERE, Pending(), Running(), name="finetune")
    at_work = process(here)
    wait_for(lambda: str(here) in leftovers.processes.flow_runs(), 20)
    assert end() == []
    assert (state(client, here), state(client, there)) == ("Running", "Running")
    at_work.kill()
    at_work.wait()
    assert end() == [client.read_flow_run(here).name]
    assert state(client, there) == "Running"


def test_a_run_that_is_about_to_begin_is_left_to_its_worker(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = begun(client, {}, Pending())
    taken = begun(client, {"prefect.worker.name": worker_name(os.getpid())}, Pending(), name="finetune")
    orphan = begun(client, DEAD, Pending(), name="correlation")
    monkeypatch.setattr(leftovers.processes, "workers", lambda: [leftovers.processes.psutil.Process()])
    assert end_lost() == [client.read_flow_run(orphan).name]
    assert (state(client, new), state(client, taken)) == ("Pending", "Pending")
    assert len(end_all()) == 2
    assert (slots(client), slots(client, "finetune")) == (0, 0)


def test_a_run_that_is_being_cancelled_and_one_in_the_queue(client: SyncPrefectClient) -> None:
    queued = begun(client, {}, name="finetune")
    cancelling = begun(client, DEAD, Pending(), Running(), Cancelling())
    end_lost()
    assert state(client, cancelling) == "Cancelled"
    assert (state(client, queued), slots(client)) == ("Scheduled", 0)
    end_all()
    assert state(client, queued) == "Scheduled"
    client.delete_flow_run(queued)


def test_workers_are_told_apart_by_machine_and_process() -> None:
    assert worker_name(17) == f"{socket.gethostname()} 17"
