"""The store that is a file of the project: made whole or not at all, copied and moved with the project."""

import itertools
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event
from sqlalchemy.engine import Engine

from eagleeye.errors import ArtifactError
from tasks.record import own_store
from tasks.record.faults import TrackingError, Unavailable, told_apart
from tasks.record.opening import prepare
from tasks.record.store import Store
from tests.tasks.record.recorded import picture

URI = "sqlite:///mlflow.db"
ENDINGS = ("", "-shm", "-wal", ".lock")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, where nobody else is at work."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(own_store, "QUIET", 0.0)
    return folder


def in_place() -> None:
    """Have MLflow make its store, as a server of its own does."""
    SqlAlchemyStore(f"sqlite:///{Path.cwd()}/mlflow.db", "mlruns")


def record(name: str = "search") -> None:
    with told_apart(URI):
        store = Store(URI, "eagleeye")
        run = store.create(name, {})
        store.upload_text(run.info.run_id, name, "note.txt")


def killed_before(statement: int, make: Callable[[], None]) -> int:
    """Make a store in another process, which ends before it sends a statement to SQLite; the statements it sent."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        numbers = itertools.count(1)

        @event.listens_for(Engine, "before_cursor_execute")
        def count(*_: object) -> None:
            number = next(numbers)
            if number == statement:
                os._exit(0)
            os.write(theirs, b".")

        make()
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as sent:
        count = len(sent.read())
    os.waitpid(process, 0)
    return count


def assert_records_as_ever(folder: Path) -> None:
    record()
    shown = picture(f"sqlite:///{folder}/mlflow.db")
    assert [*shown["runs"]] == ["search"]
    assert shown["runs"]["search"]["artifacts"] == [("note.txt", 6)]
    assert {path.name for path in folder.iterdir()} - {"mlruns"} <= {f"mlflow.db{ending}" for ending in ENDINGS}


@pytest.mark.parametrize("make", [in_place, lambda: prepare(URI)], ids=["by MLflow", "by us"])
def test_a_store_whose_making_was_killed_is_made_anew(project: Path, make: Callable[[], None]) -> None:
    assert killed_before(30, make) == 29
    assert_records_as_ever(project)


@pytest.mark.slow
@pytest.mark.parametrize("make", [in_place, lambda: prepare(URI)], ids=["by MLflow", "by us"])
def test_killed_at_any_moment_while_the_store_is_made(project: Path, make: Callable[[], None]) -> None:
    statements = killed_before(0, make)
    assert statements > 1000
    for part in (0.0, 0.15, 0.45, 0.8, 1.0):
        folder = project / str(part)
        folder.mkdir()
        os.chdir(folder)
        killed_before(1 + int(part * (statements - 1)), make)
        assert_records_as_ever(folder)


def test_a_store_that_holds_runs_is_never_made_anew(project: Path, whole: Path) -> None:
    shutil.copy(whole, project)
    record()
    with closing(sqlite3.connect("mlflow.db")) as store, store:
        store.execute("DROP TABLE latest_metrics")  # as half an upgrade leaves it
        store.execute("DELETE FROM experiments")
    with pytest.raises((TrackingError, Unavailable)):
        record("again")
    assert sqlite3.connect("mlflow.db").execute("SELECT name FROM runs").fetchall() == [("search",)]


def test_a_database_of_something_else_is_left_alone(project: Path) -> None:
    with closing(sqlite3.connect("mlflow.db")) as other, other:
        other.execute("CREATE TABLE orders (number INTEGER)")
    assert not own_store._is_begun(project / "mlflow.db")
    with closing(sqlite3.connect("mlflow.db")) as other, other:
        other.execute("CREATE TABLE experiments (name TEXT)")
        other.execute("INSERT INTO orders VALUES (7)")
    assert not own_store._is_begun(project / "mlflow.db")


def test_one_that_is_being_made_is_waited_for(project: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_store, "QUIET", 30.0)
    path = project / "mlflow.db"
    path.touch()

    def finish() -> None:
        time.sleep(0.2)
        shutil.copy(whole, project / "beside")
        (project / "beside").replace(path)

    threading.Thread(target=finish).start()
    own_store.make_whole(path, lambda _: pytest.fail("made twice"))
    assert path.read_bytes() == whole.read_bytes()


def test_of_two_processes_one_makes_it(project: Path, whole: Path) -> None:
    path, made = project / "mlflow.db", []

    def make(place: Path) -> None:
        made.append(place)
        time.sleep(0.2)
        shutil.copy(whole, place)

    threads = [threading.Thread(target=own_store.make_whole, args=(path, make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_the_journal_of_a_half_store_is_not_taken_for_that_of_the_next(project: Path, whole: Path) -> None:
    path = project / "mlflow.db"
    path.touch()
    path.with_name("mlflow.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    own_store.make_whole(path, lambda place: shutil.copy(whole, place))
    assert not path.with_name("mlflow.db-journal").exists()
    assert sqlite3.connect(path).execute("SELECT name FROM experiments").fetchall() == [("Default",)]


def test_a_store_that_cannot_be_written_leaves_no_half_one(project: Path, whole: Path) -> None:
    shutil.rmtree(project)
    project.write_text("no folder")
    with pytest.raises((ArtifactError, OSError)):
        own_store.make_whole(project / "mlflow.db", lambda place: shutil.copy(whole, place))


def registered(folder: Path) -> str:
    """Record what has all the places that MLflow keeps: a run, a model and a version of it."""
    record()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("eagleeye").experiment_id])
    model = client.create_logged_model(run.info.experiment_id, "pruned", run.info.run_id)
    client.create_registered_model("digits")
    client.create_model_version("digits", model.artifact_location, run.info.run_id, model_id=model.model_id)
    return str(run.info.run_id)


def content(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["copy", "copy of it, 50% größer", "project/copy"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_a_copied_project_has_a_record_of_its_own(
    project: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: bool
) -> None:
    shutil.copy(whole, project)
    run = registered(project)
    if not told:
        with closing(sqlite3.connect("mlflow.db")) as store, store:
            store.execute("DELETE FROM experiment_tags WHERE key = ?", (own_store.FOLDER,))
    before = content(project)
    copy = project.parent / name
    shutil.copytree(project, copy, ignore=lambda *_: ["copy"])
    monkeypatch.chdir(copy)
    record("of the copy")
    kept = {path: found for path, found in content(project).items() if path.parts[0] != "copy"}
    assert kept == before
    client = MlflowClient(f"sqlite:///{copy}/mlflow.db")
    places = [client.get_experiment_by_name("eagleeye").artifact_location, client.get_run(run).info.artifact_uri]
    places += [version.source for version in client.search_model_versions("name = 'digits'")]
    places += [model.artifact_location for model in client.search_logged_models(["1"])]
    assert len(places) == 4
    assert all(Path(place.removeprefix("file://")).is_relative_to(copy / "mlruns") for place in places), places
    shown = picture(f"sqlite:///{copy}/mlflow.db")
    assert {name: run["artifacts"] for name, run in shown["runs"].items()} == {
        "search": [("note.txt", 6)],
        "of the copy": [("note.txt", 11)],
    }


def test_a_moved_project_goes_on_in_its_own_folder(project: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(whole, project)
    record()
    moved = project.rename(project.parent / "moved")
    monkeypatch.chdir(moved)
    record("later")
    assert not project.exists()
    assert all(run["artifacts"] for run in picture(f"sqlite:///{moved}/mlflow.db")["runs"].values())


def test_files_that_somebody_wants_elsewhere_stay_there(project: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole, project)
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    client.create_experiment("eagleeye", artifact_location=f"{tmp_path}/large/mlruns/1")
    record()
    record("again")
    assert client.get_experiment_by_name("eagleeye").artifact_location == f"{tmp_path}/large/mlruns/1"
    assert len(list((tmp_path / "large/mlruns/1").iterdir())) == 2


def test_a_store_of_several_projects_belongs_to_none(
    project: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    shutil.copy(whole, tmp_path / "shared")
    uri = f"sqlite:///{tmp_path}/shared/mlflow.db"
    for folder in (project, tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        Store(uri, folder.name)
    found = {one.name: one.artifact_location for one in MlflowClient(uri).search_experiments()}
    before = dict(found)
    monkeypatch.chdir(project)
    Store(uri, "project")
    assert {one.name: one.artifact_location for one in MlflowClient(uri).search_experiments()} == before
