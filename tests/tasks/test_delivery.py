"""A whole search is recorded while MLflow is disturbed: at the end the record is that of a calm day."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from eagleeye.scoring.racing import Scores
from tasks.artifacts import GROUPS, write_table
from tasks.params import Params
from tasks.record import courier as courier_module
from tasks.record import search as module
from tasks.record.courier import Courier
from tasks.record.outbox import Outbox
from tasks.record.post import SearchPost
from tasks.record.search import record_search
from tasks.settings import read_params
from tests.tasks.conftest import Recorder as Heard
from tests.tasks.mlflow_server import MlflowServer, Proxy
from tests.tasks.recorded import KEY, onnx_file, picture

ROOT = Path(__file__).parents[2]
CANDIDATES = 12


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with the artefacts that are recorded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "search_key", lambda _: KEY)
    groups = {"group": [0, 1], "name": ["conv1", "layer1"], "channels": [4, 4], "members": [["conv1"], ["layer1"]]}
    write_table(GROUPS, pd.DataFrame(groups))
    onnx_file(tmp_path / "pruned.onnx", 2.0)
    (tmp_path / "pruned.safetensors").write_bytes(b"weights")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.html").write_text("<h1>")
    _table().assign(rank=range(1, CANDIDATES + 1)).to_parquet(tmp_path / "ranking.parquet")
    return tmp_path


@pytest.fixture
def impatient(monkeypatch):
    """Timing of an hour's disturbance within seconds."""
    times = {"FIRST_DELAY": 0.05, "LONGEST_DELAY": 0.5, "GRACE": 0.3, "MOMENT": 0.1, "PATIENCE": 2.0}
    for name, seconds in times.items():
        monkeypatch.setattr(courier_module, name, seconds)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


def _params(uri: str) -> Params:
    params = read_params(ROOT / "params.yaml")
    tracking = params.tracking.model_copy(update={"uri": uri})
    return params.model_copy(update={"tracking": tracking})


def _table() -> pd.DataFrame:
    rows = [
        {"id": f"s{row:04d}", "origin": "uniform", "macs": 20 + row, "params": 10, "macs_fraction": 0.5}
        | {"params_fraction": 0.4, "latency": None, "rates": [0.1, row / 100], "accuracy": 0.9 - row / 100, "loss": 1.0}
        for row in range(CANDIDATES)
    ]
    return pd.DataFrame(rows)


def _record(params: Params, context: Heard, pause: float = 0.0) -> None:
    """What the stages of a small search record, in the order in which they do."""
    table = _table()
    rest = {"agreement": 0.8, "divergence": 0.3}
    rest |= {"vanilla_accuracy": 0.1, "vanilla_loss": 2.0, "vanilla_agreement": 0.1, "vanilla_divergence": 2.0}
    rows = table.to_dict("records")
    scores = {row["id"]: Scores({name: row[name] for name in ("accuracy", "loss")} | rest, {}, 0.01) for row in rows}
    with record_search(params, context) as recorder:
        recorder.log_settings(params)
        recorder.log_dataset("calibration", Path("ranking.parquet"), use="calibration")
        for images in (100, 200):
            for name, found in scores.items():
                recorder.log_candidates(table, {name: (images, found)})
                time.sleep(pause)
    with record_search(params, context) as recorder:
        recorder.log_ranking(Path("ranking.parquet"))
    with record_search(params, context) as recorder:
        history = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5]})
        for name in ("s0000", "s0001"):
            recorder.log_finetuned(name, {"epochs": 2}, history, {"final_accuracy": 0.95, "final_loss": 0.2})
        onnx = Path("pruned.onnx")
        recorder.log_model(Path("pruned.safetensors"), onnx, "winners", {"macs": 20, "final_accuracy": 0.95})
    with record_search(params, context) as recorder:
        recorder.log_report({"baseline_accuracy": 0.9, "pruned_accuracy": 0.8}, Path("report"))


@pytest.fixture
def calm(project) -> dict:
    """The record when nothing happens."""
    uri = f"sqlite:///{project}/calm.db"
    context = Heard()
    _record(_params(uri), context)
    assert context.warned == []
    shown = picture(uri)
    runs = [name for name in shown["runs"] if name.startswith("s0")]
    assert len(runs) == CANDIDATES
    assert len(shown["runs"]) == CANDIDATES + 3
    return shown


def _deliver_all(uri: str) -> None:
    """What the next run does."""
    params, context = _params(uri), Heard()
    deadline = time.monotonic() + 60
    while module.open_courier().outbox.count():
        module.deliver_waiting(params, context)
        assert time.monotonic() < deadline, context.warned


def test_recorded_while_the_server_is_away_delivered_when_it_is_back(calm, project, impatient):
    """And none of the stages takes long, and each says so in one line."""
    uri, started, context = f"sqlite:///{project}/later.db", time.monotonic(), Heard()
    _record(_params("http://127.0.0.1:9"), context)
    assert time.monotonic() - started < 4 * 3
    assert len(context.warned) == 4
    assert "Connection refused" in context.warned[0]
    waiting = module.open_courier().outbox.count()
    assert f"{waiting} records wait in .eagleeye/outbox.sqlite" in context.warned[-1]
    assert waiting == 1 + 2 + 2 * CANDIDATES + 1 + 3 + 5 + 3
    # Artefacts of another search take the place of those that wait.
    for name in ("pruned.onnx", "pruned.safetensors", "ranking.parquet"):
        (project / "beside").write_bytes(b"another search")
        (project / "beside").replace(project / name)
    _deliver_all(uri)
    assert picture(uri) == calm


def test_a_refusal_stops_the_stage_and_mended_settings_deliver_everything(calm, project):
    for _ in range(2):
        with pytest.raises(module.TrackingError, match=r"^MLflow at nonsense://x: .*--drop`$"):
            _record(_params("nonsense://user:secret@x"), Heard())
    uri = f"sqlite:///{project}/mended.db"
    _record(_params(uri), Heard())
    assert picture(uri) == calm


def test_passwords_are_kept_nowhere(project, impatient):
    params = _params("http://user:sec@ret@127.0.0.1:9")
    data = params.data.model_copy(update={"options": {"train": "s3://user:sec@ret@host/images"}})
    with record_search(params := params.model_copy(update={"data": data}), context := Heard()) as recorder:
        recorder.log_settings(params)
    kept = b"".join(path.read_bytes() for path in (project / ".eagleeye").rglob("*") if path.is_file())
    assert b"cifar_resnet20" in kept
    assert b"s3://host/images" in kept
    assert b"sec@ret" not in kept
    assert "ret@" not in "".join(context.warned)


def test_the_end_of_the_block_is_the_status_of_the_run(project):
    uri = f"sqlite:///{project}/mlflow.db"
    for error, status in ((ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (None, "FINISHED")):
        with pytest.raises(error or AssertionError), record_search(_params(uri), Heard()):
            raise error or AssertionError
        if error is None:
            with record_search(_params(uri), Heard()):
                pass
        assert [run["status"] for run in picture(uri)["runs"].values()] == [status]


class Killed(BaseException):
    """Stands for the end of the process."""


WRITES = (
    *("create_run", "log_batch", "set_terminated", "set_tag", "update_run", "set_experiment_tag", "log_inputs"),
    *("log_artifact", "log_artifacts", "log_text", "create_logged_model", "log_outputs", "log_model_artifacts"),
    *("finalize_logged_model", "create_registered_model", "create_model_version", "set_registered_model_alias"),
    "create_experiment",
)


@contextmanager
def _dying(call: int):
    """The process dies before a call to the store, and so after the one before."""
    made = iter(range(100_000))

    def dying(real):
        def wrapper(*args, **kwargs):
            if next(made) >= call:
                raise Killed
            return real(*args, **kwargs)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(mlflow.MlflowClient, name, dying(getattr(mlflow.MlflowClient, name)))
        yield


@pytest.mark.slow
def test_killed_between_any_two_writes_everything_is_delivered_once(calm, project, impatient):
    _record(_params("http://127.0.0.1:9"), Heard())
    waiting = module.open_courier().outbox
    calls = 0
    while True:
        uri = f"sqlite:///{project}/killed{calls}.db"
        outbox, post = _copy(waiting, project / f"copy{calls}"), SearchPost()
        post.destination = uri, "eagleeye"
        survived = True
        with _dying(calls):
            try:
                _walk(outbox, post)
            except Killed:
                survived = False
        post = SearchPost()  # the next process
        post.destination = uri, "eagleeye"
        _walk(outbox, post)
        assert picture(uri) == calm, f"killed before call {calls}"
        if survived:
            break
        calls += 9
    assert calls > 50


def _copy(outbox: Outbox, folder: Path) -> Outbox:
    folder.mkdir()
    outbox._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(outbox.path, folder / "outbox.sqlite")
    shutil.copytree(outbox.path.with_suffix(""), folder / "outbox")
    return Outbox(folder / "outbox.sqlite")


def _walk(outbox: Outbox, post: SearchPost) -> None:
    while entry := outbox.first():
        post.deliver(entry)
        outbox.remove(entry.number)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.slow
def test_a_server_that_is_stopped_killed_and_frozen_in_the_middle(calm, tmp_path, impatient):
    with MlflowServer(tmp_path / "served") as server:

        def disturb() -> None:
            for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
                time.sleep(1.0)
                server.interrupt(how, seconds=4.0)

        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        _record(_params(server.uri), Heard(), pause=0.2)
        disturbing.join()
        _deliver_all(server.uri)
        assert picture(server.uri) == calm


@pytest.mark.slow
def test_answers_that_are_lost_before_or_after_the_work_is_done(calm, impatient, server):
    """Requests are answered by 503, by silence or not at all, half of them after they were carried out."""
    with Proxy(server.uri, spoilt=24) as proxy:
        _record(_params(proxy.uri), Heard())
        _deliver_all(proxy.uri)
        assert len(proxy.disturbed) == 24
    assert picture(server.uri) == calm


WRITER = """
import sys
from tests.tasks import test_delivery as here
here.module.search_key = lambda _: here.KEY
here._record(here._params(sys.argv[1]), here.Heard(), pause=0.02)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again(calm, project):
    uri = f"sqlite:///{project}/killed.db"
    for seconds in (0.3, 1.0, 2.0):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen([sys.executable, "-c", WRITER, uri], env=environment, cwd=project)
        outbox = project / ".eagleeye" / "outbox.sqlite"
        while not outbox.exists() and writer.poll() is None:
            time.sleep(0.05)
        time.sleep(seconds)
        writer.kill()
        writer.wait()
    _record(_params(uri), Heard())
    assert picture(uri) == calm


@pytest.mark.slow
def test_postgresql_is_as_good_as_a_file_and_may_be_restarted(calm, impatient, postgres):
    pytest.importorskip("psycopg")
    uri = postgres.url("mlflow")
    stop = threading.Timer(4.0, lambda: (postgres.stop(), time.sleep(2), postgres.start()))
    stop.start()
    _record(_params(uri), context := Heard(), pause=0.2)
    stop.join()
    _deliver_all(uri)
    assert picture(uri) == calm
    assert json.dumps(context.warned).count("Traceback") == 0


def test_candidates_appear_while_the_search_runs(project):
    uri, table = f"sqlite:///{project}/live.db", _table()
    with record_search(_params(uri), Heard()) as recorder:
        for row in range(3):
            recorder.log_candidates(table, {f"s{row:04d}": (100, Scores({"accuracy": 0.5}, {}))})
            deadline = time.monotonic() + 60
            # Who looks at a store that is not there makes one.
            while not (project / "live.db").exists() or len(picture(uri)["runs"]) < row + 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_courier_is_one_for_a_folder(project):
    assert module.open_courier() is module.open_courier()
    assert isinstance(module.open_courier(), Courier)
