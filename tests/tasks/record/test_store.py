import errno
import shutil
import socket
import sqlite3
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.telemetry.client import get_telemetry_client
from sqlalchemy.exc import OperationalError

from tasks.record import api
from tasks.record.faults import TrackingError, Unavailable, told_apart
from tasks.record.store import Store

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _open(uri: str) -> Store:
    with told_apart(uri):
        return Store(uri, "e")


class _Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"words of the server")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://user:se@cret@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_passes(answering, status, monkeypatch):
    monkeypatch.setattr(_Answer, "status", status)
    with pytest.raises(Unavailable, match=r"^MLflow at http://127\.0\.0\.1:\d+: .*") as caught:
        _open(answering)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_server_that_refuses_does_not(answering, status, monkeypatch):
    monkeypatch.setattr(_Answer, "status", status)
    with pytest.raises(TrackingError, match=rf"^MLflow at http://127\.0\.0\.1:\d+: .*{status}.*run again$") as caught:
        _open(answering)
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_or_does_not_speak_passes(monkeypatch):
    with pytest.raises(Unavailable, match="Connection refused"):
        _open("http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Unavailable, match="timed out"):
            _open(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_database_that_is_not_there_passes_at_once():
    pytest.importorskip("psycopg")
    with pytest.raises(Unavailable, match="Connection refused") as caught:
        _open("postgresql://user:secret@127.0.0.1:9/mlflow")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ('connection failed: FATAL: password authentication failed for user "me"', False),
        ('FATAL: database "mlflow" does not exist', False),
        ("FATAL: the database system is starting up", True),
        ("server closed the connection unexpectedly", True),
    ],
)
def test_a_database_server_that_refuses_is_told_from_one_that_starts(words, passes):
    with pytest.raises(Unavailable if passes else TrackingError), told_apart("postgresql://host/mlflow"):
        raise OperationalError("SELECT 1", {}, Exception(words))


def test_a_locked_file_passes_and_a_full_disk_does_not():
    for words, kind in (("database is locked", Unavailable), ("database or disk is full", TrackingError)):
        with pytest.raises(kind), told_apart("sqlite:///mlflow.db"):
            raise OperationalError("INSERT", {}, sqlite3.OperationalError(words))


def test_an_upload_that_breaks_passes_and_one_that_is_forbidden_does_not():
    for status, kind in ((None, Unavailable), (503, Unavailable), (403, TrackingError)):
        response = requests.Response() if status else None
        if response is not None:
            response.status_code = status
        with pytest.raises(kind), told_apart("http://host"):
            raise requests.HTTPError("upload", response=response)


SPACE, BACKUP, PLACE = "free some space", "restore it from a backup, or move it away", "mend what is in its place"


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (sqlite3.OperationalError("database or disk is full"), SPACE),
        (OSError(errno.ENOSPC, "no matter"), SPACE),
        (OSError(errno.EDQUOT, "no matter"), SPACE),
        (OSError(errno.EFBIG, "no matter"), SPACE),
        (sqlite3.DatabaseError("file is not a database"), BACKUP),
        (sqlite3.DatabaseError("database disk image is malformed"), BACKUP),
        (sqlite3.OperationalError("disk I/O error"), "see whether the disk is full or faulty"),
        (sqlite3.OperationalError("attempt to write a readonly database"), PLACE),
        (sqlite3.OperationalError("unable to open database file"), PLACE),
        (OSError(errno.EROFS, "no matter"), PLACE),
        (OSError(errno.EACCES, "no matter"), PLACE),
        (sqlite3.OperationalError("near SELECT: syntax error"), "mend tracking.uri"),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_the_way_out_fits_what_the_disk_says(error, way_out, wrapped):
    with (
        pytest.raises(TrackingError, match=r"scores and finished work are kept: ") as caught,
        told_apart("sqlite:///mlflow.db"),
    ):
        if wrapped and isinstance(error, sqlite3.Error):
            raise OperationalError("INSERT", {}, error)
        if wrapped:
            raise MlflowException("it was not to be") from error
        raise error
    assert way_out in str(caught.value)
    assert ("mend tracking.uri" in str(caught.value)) == (way_out == "mend tracking.uri")


def test_a_server_whose_disk_is_full_is_no_matter_of_ours(answering, monkeypatch):
    monkeypatch.setattr(_Answer, "status", 400)
    with pytest.raises(TrackingError, match=r"mend tracking\.uri"):
        _open(answering)


def _garble(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "cut":
        content = content[: len(content) // 3]
    if kind == "zeroed":
        content[4096:] = bytes(len(content) - 4096)
    if kind == "noise":
        content[200:] = np.random.default_rng(0).bytes(len(content) - 200)
    if kind == "no header":
        content[:16] = b"x" * 16
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut", "zeroed", "noise", "no header"])
def test_a_garbled_store_is_one_line_that_says_how_to_go_on(tmp_path, whole, kind):
    path = Path(shutil.copy(whole, tmp_path))
    _garble(path, kind)
    before = path.read_bytes()
    with pytest.raises(TrackingError, match=r"kept: the file is damaged: restore it from a backup.*tasks record"):
        _open(f"sqlite:///{path}").create("search", {})
    assert path.read_bytes()[200:] == before[200:]


def test_a_folder_in_the_place_of_the_store_is_one_line(tmp_path):
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(TrackingError, match=r"mend what is in its place or the permissions"):
        _open(f"sqlite:///{tmp_path}/folder.db")


def test_an_unusable_uri_is_named_at_once(tmp_path):
    (tmp_path / "file").write_bytes(b"no database " * 1000)
    uris = ("nonsense://somewhere", f"sqlite:///{tmp_path}/file/mlflow.db", f"sqlite:///{tmp_path}/file")
    for uri in (*uris, "mysql+nodriver://host/mlflow"):
        with pytest.raises(TrackingError) as caught:
            _open(uri)
        assert str(caught.value).startswith(f"MLflow at {uri}: ")


def test_a_defect_is_no_matter_of_the_store():
    with pytest.raises(ZeroDivisionError), told_apart("sqlite:///mlflow.db"):
        raise ZeroDivisionError


def test_a_deleted_experiment_is_named_with_two_ways_out():
    store = _open("sqlite:///mlflow.db")
    mlflow.MlflowClient("sqlite:///mlflow.db").delete_experiment(store.experiment_id)
    with pytest.raises(TrackingError, match=r"mlflow experiments restore -x \d+.*tracking\.experiment"):
        _open("sqlite:///mlflow.db")


def test_the_git_commit_is_recorded(monkeypatch):
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT)
    if git.returncode:
        pytest.skip("the project is not in a git repository here")
    store = _open(f"sqlite:///{Path.cwd()}/mlflow.db")
    monkeypatch.chdir(ROOT)
    api.origin_tags.cache_clear()
    run = store.create("search", {})
    api.origin_tags.cache_clear()
    assert run.data.tags["mlflow.source.git.commit"] == git.stdout.strip()


def test_no_telemetry():
    assert get_telemetry_client() is None
