"""A whole search is recorded while MLflow is disturbed: at the end the record is that of a calm day."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from eagleeye.scoring.racing import Scores
from tasks.artifacts import GROUPS, write_table
from tasks.params import Params
from tasks.record import beside
from tasks.record import keeper as module
from tasks.record.beside import bring_up_to_date, recording, tell
from tasks.record.faults import TrackingError
from tasks.record.page import Page
from tasks.record.shown import Report, Tuning, View, Winner
from tasks.record.store import Store
from tasks.record.unshown import unshown
from tasks.record.view import candidate_of
from tasks.settings import read_params
from tests.tasks.conftest import Recorder as Heard
from tests.tasks.conftest import changed
from tests.tasks.record.mlflow_server import MlflowServer, Proxy
from tests.tasks.record.recorded import KEY, onnx_file, picture, upload

ROOT = Path(__file__).parents[3]
CANDIDATES = 12
STAGES = ("evaluate", "rank", "finetune", "report")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with the artefacts that are recorded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(beside, "view_of", _view)
    monkeypatch.setattr(module, "_silent", set())
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
    times = {"LOOK": 0.1, "FIRST_DELAY": 0.05, "LONGEST_DELAY": 0.5, "GRACE": 0.3, "PATIENCE": 4.0, "CONTACT": 0.5}
    times |= {"IMPATIENCE": 2.0}
    for name, seconds in times.items():
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


def _params(uri: str, seed: int = 0) -> Params:
    return changed(read_params(ROOT / "params.yaml"), tracking={"uri": uri}, strategies={"seed": seed})


def _table(seed: int = 0) -> pd.DataFrame:
    rows = [
        {"id": f"{'st'[seed]}{row:04d}", "origin": "uniform", "macs": 20 + row, "params": 10, "macs_fraction": 0.5}
        | {"params_fraction": 0.4, "latency": None, "rates": [0.1, row / 100], "accuracy": 0.9 - row / 100, "loss": 1.0}
        for row in range(CANDIDATES)
    ]
    return pd.DataFrame(rows)


def _scores(seed: int = 0) -> dict[str, Scores]:
    rest = {"agreement": 0.8, "divergence": 0.3}
    rest |= {"vanilla_accuracy": 0.1, "vanilla_loss": 2.0, "vanilla_agreement": 0.1, "vanilla_divergence": 2.0}
    rows = _table(seed).to_dict("records")
    return {row["id"]: Scores({name: row[name] for name in ("accuracy", "loss")} | rest, {}, 0.01) for row in rows}


HISTORY = {"epoch": [1, 2], "train_loss": [1.0, 0.5]}


def _view(params: Params, stages: Iterable[str]) -> View:
    """What the stages of a small search leave behind."""
    seed = params.strategies.seed
    scores = _scores(seed)
    candidates = [
        candidate_of(["conv1", "layer1"], row, images, scores[row["id"]])
        for images in (100, 200)
        for row in _table(seed).to_dict("records")
    ]
    figures = {"final_accuracy": 0.95, "final_loss": 0.2}
    tunings = [Tuning(name, {"epochs": 2}, HISTORY, figures) for name in list(scores)[:2]]
    tags = {"macs": "20", "final_accuracy": "0.95"}
    winner = Winner(upload(Path("pruned.safetensors")), Path("pruned.onnx"), "winners", tags)
    report = Report("report", {"baseline_accuracy": 0.9, "pruned_accuracy": 0.8}, upload(Path("report")))
    dataset = {"name": "calibration", "digest": "5e5e", "path": "x", "columns": [], "rows": 7, "context": "calibration"}
    parts: dict[str, dict[str, object]] = {
        "evaluate": {"candidates": candidates},
        "rank": {"ranking": upload(Path("ranking.parquet"))},
        "finetune": {"tunings": tunings, "winner": winner},
        "report": {"reports": [report]},
    }
    there = {name: value for stage in stages for name, value in parts[stage].items()}
    settings = params.model_dump(mode="json", exclude={"tracking"})
    name = "resnet at 50% MACs" + " again" * seed
    return View(KEY[seed:], name, settings, [dataset], **there)


def _record(params: Params, context: Heard, pause: float = 0.0) -> None:
    """What the stages of a small search record, in the order in which they do."""
    table, scores = _table(params.strategies.seed), _scores(params.strategies.seed)
    with recording("evaluate", params, context) as progress:
        for images in (100, 200):
            for name, found in scores.items():
                progress.scored(table, {name: (images, found)})
                time.sleep(pause)
    tell("rank", params, context)
    with recording("finetune", params, context) as progress:
        for name in list(scores)[:2]:
            told = progress.epochs(name, {"epochs": 2})
            for epochs in (1, 2):
                told(pd.DataFrame({column: values[:epochs] for column, values in HISTORY.items()}))
                time.sleep(pause)
    tell("report", params, context)


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


def _catch_up(uri: str, stages: Sequence[str] = STAGES) -> None:
    """What `python -m tasks record` does, until MLflow has taken everything."""
    deadline = time.monotonic() + 120
    while True:
        bring_up_to_date(stages, _params(uri), context := Heard())
        if not context.warned:
            return
        assert time.monotonic() < deadline, context.warned


def test_what_ran_while_the_server_was_away_is_shown_when_it_is_back(calm, project, impatient):
    """And none of the stages takes long, and each says so in one line."""
    uri, started, context = f"sqlite:///{project}/later.db", time.monotonic(), Heard()
    _record(_params("http://127.0.0.1:9"), context)
    assert time.monotonic() - started < 4 * 3
    assert len(context.warned) == 4
    assert all("Connection refused; nothing is lost: " in line for line in context.warned)
    _catch_up(uri)
    assert picture(uri) == calm
    _catch_up(uri)
    assert picture(uri) == calm


def _replace(project: Path) -> None:
    """What another search leaves in the artefacts' places."""
    (project / "pruned.onnx").unlink()
    onnx_file(project / "pruned.onnx", 3.0)
    for name in ("pruned.safetensors", "report/report.html"):
        (project / name).unlink()
        (project / name).write_text("another's")
    (project / "ranking.parquet").unlink()
    _table(seed=1).assign(rank=range(1, CANDIDATES + 1)).to_parquet(project / "ranking.parquet")


def test_a_search_that_another_has_replaced_while_the_server_was_away_is_shown_too(project, impatient):
    kept = {name: (project / name).read_bytes() for name in ("pruned.onnx", "pruned.safetensors", "ranking.parquet")}
    calm, later = f"sqlite:///{project}/calm.db", f"sqlite:///{project}/later.db"
    for uri in (calm, "http://127.0.0.1:9"):
        for name, content in kept.items():
            (project / name).unlink()
            (project / name).write_bytes(content)
        (project / "report" / "report.html").write_text("<h1>")
        _record(_params(uri), Heard())
        _replace(project)
        _record(_params(uri, seed=1), Heard())
    assert len(unshown()) == 2 * len(STAGES)
    for _ in range(2):
        _catch_up(later, ())
        assert picture(later) == picture(calm)
    assert len(picture(later)["runs"]) == 2 * (CANDIDATES + 3)
    assert [len(model["versions"]) for model in picture(later)["registry"]] == [2]
    assert unshown() == []


@pytest.mark.slow
def test_a_search_that_was_killed_while_the_server_was_away_is_shown_by_the_next_one(calm, project, impatient):
    uri = f"sqlite:///{project}/later.db"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, "http://127.0.0.1:9", "0.5"]
    writer = subprocess.Popen(command, env=environment, cwd=project)
    found = project / ".eagleeye" / "unshown"
    _until(lambda: len("".join(path.read_text() for path in found.glob("*/found.jsonl")).splitlines()) > 4)
    writer.kill()
    writer.wait()
    _record(_params(uri, seed=1), Heard())
    runs = picture(uri)["runs"]
    assert (runs["resnet at 50% MACs"]["status"], runs["resnet at 50% MACs again"]["status"]) == ("KILLED", "FINISHED")
    shown = [name for name in runs if name.startswith("s0")]
    assert set(shown) <= {name.removesuffix(" · winner") for name in calm["runs"]}
    assert 4 <= len(shown) < CANDIDATES


def test_two_stores_get_the_same(calm, project):
    uris = [f"sqlite:///{project}/{name}.db" for name in ("first", "second")]
    _record(_params(uris[0]), Heard())
    for uri in [*uris, *uris]:
        _catch_up(uri)
    assert [picture(uri) for uri in uris] == [calm, calm]


def test_a_refusal_stops_the_stage_and_mended_settings_record_everything(calm, project):
    for _ in range(2):
        with pytest.raises(TrackingError, match=r"^MLflow at nonsense://x: .*mend tracking\.uri and run again$"):
            _record(_params("nonsense://user:secret@x"), Heard())
    uri = f"sqlite:///{project}/mended.db"
    _record(_params(uri), Heard())
    assert picture(uri) == calm


def test_a_warning_holds_no_password(project, impatient):
    _record(_params("http://user:sec@ret@127.0.0.1:9"), context := Heard())
    assert context.warned
    assert "ret@" not in "".join(context.warned)


def test_the_end_of_the_block_is_the_status_of_the_run(project):
    uri = f"sqlite:///{project}/mlflow.db"
    for error, status in ((ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (None, "FINISHED")):
        with pytest.raises(error or AssertionError), recording("evaluate", _params(uri), Heard()):
            raise error or AssertionError
        if error is None:
            tell("evaluate", _params(uri), Heard())
        assert picture(uri)["runs"]["resnet at 50% MACs"]["status"] == status


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
def test_killed_between_any_two_writes_everything_is_shown_once(calm, project):
    calls = 0
    while True:
        uri = f"sqlite:///{project}/killed{calls}.db"
        survived = True
        with _dying(calls):
            try:
                _show(uri)
            except Killed:
                survived = False
        _show(uri)  # the next process
        assert picture(uri) == calm, f"killed before call {calls}"
        if survived:
            break
        calls += 9
    assert calls > 50


def _show(uri: str) -> None:
    for number in range(1, len(STAGES) + 1):
        view = _view(_params(uri), STAGES[:number])
        page = Page(Store(uri, "eagleeye"), view.key, view.name, view.terms)
        page.show(view)
        page.end("FINISHED")


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
        _catch_up(server.uri)
        assert picture(server.uri) == calm


@pytest.mark.slow
def test_answers_that_are_lost_before_or_after_the_work_is_done(calm, impatient, server):
    """Requests are answered by 503, by silence or not at all, half of them after they were carried out."""
    with Proxy(server.uri, spoilt=24) as proxy:
        _record(_params(proxy.uri), Heard())
        _catch_up(proxy.uri)
        assert len(proxy.disturbed) == 24
    assert picture(server.uri) == calm


WRITER = """
import sys
from tests.tasks.record import test_beside as here
here.beside.view_of = here._view
here.module.LOOK = 0.05
here._record(here._params(sys.argv[1]), here.Heard(), pause=float(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again(calm, project):
    uri, store = f"sqlite:///{project}/killed.db", project / "killed.db"
    for seconds in (0.3, 1.0, 2.0):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        writer = subprocess.Popen([sys.executable, "-c", WRITER, uri, "0.02"], env=environment, cwd=project)
        while not store.exists() and writer.poll() is None:
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
    _catch_up(uri)
    assert picture(uri) == calm
    assert json.dumps(context.warned).count("Traceback") == 0


def test_candidates_and_epochs_appear_while_the_stages_run(project, monkeypatch):
    uri, table = f"sqlite:///{project}/live.db", _table()
    shown = (project / "live.db").exists  # who looks at a store that is not there makes one
    monkeypatch.setattr(module, "LOOK", 0.1)
    with recording("evaluate", _params(uri), Heard()) as progress:
        for row in range(3):
            progress.scored(table, {f"s{row:04d}": (100, Scores({"accuracy": 0.5}, {}))})
            _until(lambda row=row: shown() and len(picture(uri)["runs"]) == row + 2)
    tuning = "fine-tune s0000"
    with recording("finetune", _params(uri), Heard()) as progress:
        for epochs in (1, 2):
            told = pd.DataFrame({"epoch": [1, 2][:epochs], "train_loss": [1.0, 0.5][:epochs]})
            progress.epochs("s0000", {"epochs": 2})(told)
            _until(lambda epochs=epochs: len(picture(uri)["runs"].get(tuning, {}).get("points", [])) == epochs)
        assert picture(uri)["runs"][tuning]["status"] == "RUNNING"


def _until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
