"""Where the batches of a map are worked on: in threads of this process, or by Ray on this and other machines.

A batch is a task of Prefect's in a thread of this process in either case. With Ray that thread waits for the machine
that works: Prefect's retries, cancellation and records are the same, and no other machine needs Prefect or MLflow.
"""

import functools
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol
from unittest import mock

from eagleeye.errors import ConfigError
from tasks.run.context import Work
from tasks.run.mapping import SECONDS_BETWEEN_LOOKS, Batch, Job
from tasks.run.remote import Shipment, ship, work_on
from tasks.run.shared import Shared

WAITING = 2  # batches per worker that are under way: the next one is there when a worker ends the last


class WorkerLostError(Exception):
    """A process or machine that worked on a batch is gone; another one may do it."""


class Runner(Protocol):
    """Works on the batches of one map; several threads call `run` at a time."""

    workers: int
    """Batches that are worked on at a time."""
    threads: int
    """Batches that are under way at a time."""

    def run(self, batch: Batch[Any, Any]) -> None:
        """Work on what is left of a batch."""
        ...


class Here:
    """Works in the thread that asks."""

    def __init__(self, workers: int) -> None:
        """Set how many do so at a time."""
        self.workers = self.threads = workers

    def run(self, batch: Batch[Any, Any]) -> None:
        """Work on what is left of a batch."""
        batch.run()


class Ray:
    """A connection to a Ray cluster."""

    def __init__(self, address: str | None) -> None:
        """Connect.

        Args:
            address: Of the cluster; None starts one on this machine, which ends with the connection.

        Raises:
            ConfigError: Ray is not installed, or the cluster cannot be reached.
        """
        # Ray reads its environment when it is imported.
        if address is None and "RAY_AUTH_MODE" not in os.environ:
            # Whoever reaches Ray's ports may run code: nobody without this token.
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        if address is None:
            # In spite of its name: without it Ray takes 127.0.0.1 for the machine's address on the network.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        self._ray = _import_ray()
        where: dict[str, Any] = {"address": address}
        if address is None:
            where = {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        with _signals_left_alone(), _no_usage_head():
            try:
                self._ray.init(**where, configure_logging=False, namespace="eagleeye")
            except (ConnectionError, RuntimeError, ValueError, self._ray.exceptions.RayError) as error:
                raise ConfigError(
                    f"runner.address is {address}: {_first_line(error)}; start a cluster there, see docs/cluster.md, or"
                    " set it to null, which starts one on this machine"
                ) from error
        self._shipped: dict[str, tuple[Shipment, list[Any]]] = {}

    def serve(self, shared: Shared, lanes: int, say: Callable[[str], None]) -> Runner:
        """A runner for one map.

        Args:
            shared: What its items have in common; put into Ray's store once.
            lanes: Items that one GPU works on at a time.
            say: Told what the cluster has.

        Raises:
            ConfigError: The cluster has no device of the wanted kind.
        """
        if shared.key not in self._shipped:
            refs = [self._ray.put(path.read_bytes()) for path in shared.files]
            self._shipped[shared.key] = (ship(shared), refs)
            nodes = sum(node["Alive"] for node in self._ray.nodes())
            found = self._ray.cluster_resources()
            say(f"Ray: {nodes} nodes, {found.get('CPU', 0):.0f} CPUs, {found.get('GPU', 0):.0f} GPUs")
        return _OnRay(self._ray, *self._shipped[shared.key], lanes)

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        self._ray.shutdown()


class _OnRay:
    def __init__(self, ray: ModuleType, shipment: Shipment, refs: list[Any], lanes: int) -> None:
        gpu = shipment.shared.device == "cuda"
        kind = "GPU" if gpu else "CPU"
        self.workers = int(ray.cluster_resources().get(kind, 0))
        if not self.workers:
            raise ConfigError(f"the Ray cluster has no {kind}: start a node with one, or change evaluate.device")
        self.threads = WAITING * self.workers
        self._ray = ray
        self._shipment = shipment
        self._refs = refs
        self._lanes = lanes if gpu else 1
        # Prefect tries again, visibly and after a while; Ray spreads, so that it is elsewhere. The process stays for
        # the next batch: what it has loaded is most of a small batch's time.
        options = {"num_cpus": 1, "max_retries": 0, "max_calls": 0, "scheduling_strategy": "SPREAD"}
        self._work = ray.remote(**options, **({"num_gpus": 1} if gpu else {}))(_work)

    def run(self, batch: Batch[Any, Any]) -> None:
        batch.run_by(functools.partial(self._send, batch.job))

    def _send(self, job: Job[Any, Any], items: list[Any]) -> list[Any] | None:
        ray = self._ray
        errors = self._ray.exceptions
        # In a list, a reference is not followed before the work asks for it.
        ref = self._work.remote(job.work, self._shipment, self._refs, items, self._lanes)
        try:
            while not ray.wait([ref], timeout=SECONDS_BETWEEN_LOOKS)[0]:
                if job.stopped.is_set():
                    # Ray ends what is under way when the context disconnects; its `cancel` may block for minutes.
                    return None
            rows: list[Any] = ray.get(ref)
            return rows
        except errors.RayTaskError as error:
            raise error.cause from error
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
            errors.OutOfDiskError,
            errors.RaySystemError,
            errors.RpcError,
        ) as error:
            raise WorkerLostError(f"{type(error).__name__}: {_first_line(error)}") from error


def _work(work: Work[Any, Any], shipment: Shipment, refs: Sequence[Any], items: Sequence[Any], lanes: int) -> list[Any]:
    import ray

    return work_on(work, shipment, lambda number: ray.get(refs[number]), items, lanes)


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            "runner.engine is ray, which is not installed: pip install 'eagleeye-pruning[ray]', or set it to local"
        ) from error
    return ray


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    # Ray takes SIGTERM for itself; a flow that is cancelled is told by Prefect's handler.
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _no_usage_head() -> Iterator[None]:
    # Without a dashboard Ray starts its process all the same, for usage data alone. Told not to send them, it asks the
    # metadata servers of clouds where it is before it obeys.
    from ray._private.node import Node

    with mock.patch.object(Node, "start_api_server", lambda *_, **__: None):
        yield


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
