"""Flow runs that are on record as running but have no process any more: they would hold the only slot for ever."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed

from flows import processes

FLOW = "eagleeye"
AGAIN = "run again: it goes on where it stopped"
ENDED = f"ended by `make down`; {AGAIN}"
GONE = f"its process is gone; {AGAIN}"
_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_WORKER = "prefect.worker.name"
# For a run whose worker is not known yet to get its process.
_NEW = timedelta(minutes=1)


def worker_name(pid: int) -> str:
    """What a worker calls itself, so that others can tell whether it is there: by its machine and process."""
    return f"{socket.gethostname()} {pid}"


def end_lost() -> list[str]:
    """Put an end to the flow runs of this machine whose process is gone.

    Returns:
        Their names.
    """
    return _settle(lambda run: not _is_about_to_begin(run), Crashed(message=GONE))


def end_all() -> list[str]:
    """Put an end to all flow runs of this machine that have no process, those that were about to begin included.

    Returns:
        Their names.
    """
    return _settle(lambda _: True, Cancelled(message=ENDED))


def _settle(wanted: Callable[[FlowRun], bool], state: "State[None]") -> list[str]:
    with get_client(sync_client=True) as client:
        # Runs first: one that begins meanwhile has a process, but is not among them.
        runs = _at_work(client)
        alive = processes.flow_runs()
        ended = [run for run in runs if _is_here(run) and str(run.id) not in alive and wanted(run)]
        for run in ended:
            # From Cancelling the server lets a run come to Cancelled alone.
            cancelling = run.state is not None and run.state.is_cancelling()
            client.set_flow_run_state(run.id, Cancelled(message=state.message) if cancelling else state)
    return [run.name for run in ended]


def _at_work(client: SyncPrefectClient) -> list[FlowRun]:
    runs = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": _AT_WORK}}}),
    )
    # Without a deployment it is no worker's, and holds no slot.
    return [run for run in runs if run.deployment_id is not None]


def _is_here(run: FlowRun) -> bool:
    machine = str(run.labels.get(_WORKER, "")).rpartition(" ")[0]
    return machine in ("", socket.gethostname())


def _is_about_to_begin(run: FlowRun) -> bool:
    """Whether its worker has taken it on and is about to start its process."""
    if run.state is None or not run.state.is_pending():
        return False
    worker = run.labels.get(_WORKER)
    if worker is None:
        return datetime.now(UTC) - run.state.timestamp < _NEW
    return worker in {worker_name(process.pid) for process in processes.workers()}
