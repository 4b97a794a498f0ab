"""A PostgreSQL server of the tests' own, on a free port of 127.0.0.1, with its data in a temporary folder."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

USER = "eagleeye"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _binary(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = str(places[0]) if places else shutil.which(name)
    if found is None:
        pytest.skip(f"PostgreSQL is not installed here: no {name}")
    return found


def _as_user() -> tuple[list[str], int]:
    """PostgreSQL refuses to run as root: what to put before its commands, and whose its data are then."""
    if os.geteuid() != 0:
        return [], os.geteuid()
    import pwd

    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    user = names.get("postgres", names["nobody"])
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"], user


class Postgres:
    """A running server that can be stopped and started again; the databases stay."""

    def __init__(self, folder: Path) -> None:
        self._data, self.port = folder / "data", free_port()
        self._as, owner = _as_user()
        os.chown(folder, owner, -1)
        self._run(_binary("initdb"), "-D", str(self._data), "-U", USER, "-A", "trust", "-N", "--locale=C", "-E", "UTF8")
        self.start()

    def url(self, database: str) -> str:
        """The address of a new, empty database."""
        self._run(_binary("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database)
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = ["-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._data), "-F"]
        self._process = subprocess.Popen([*self._as, _binary("postgres"), *options], stderr=subprocess.DEVNULL)
        ready = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(300):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL does not start")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)  # without waiting for its clients
        self._process.wait(30)

    def _run(self, *command: str) -> None:
        # From a folder that its user may enter.
        subprocess.run([*self._as, *command], check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for the session: `postgres.url(name)` is a database of one's own."""
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres, request: pytest.FixtureRequest) -> str:
    """The address of an empty database, one per test."""
    return postgres.url(f"t{abs(hash(request.node.nodeid))}")
