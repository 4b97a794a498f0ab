"""Shared files on another machine: sent once, whole, and not at all where the project's folder is there."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from eagleeye.errors import ConfigError
from eagleeye.scoring.entry import Entry
from tasks import artifacts
from tasks.inputs import evaluator
from tasks.inputs.evaluator import scoring_key
from tasks.run.remote import settle, ship, work_on
from tasks.run.shared import Shared, share
from tasks.settings import read_params
from tasks.work import scoring
from tests.tasks.conftest import ROOT, Search, run_stage

FILES = (Path("artifacts/a.bin"), Path("artifacts/sub/b.bin"))
CONTENT = [os.urandom(1000), b""]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    for path, content in zip(FILES, CONTENT, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def packed() -> Shared:
    return Shared(read_params(ROOT / "params.yaml"), "key", FILES, "cpu")


def never(_number: int) -> bytes:
    pytest.fail("fetched")


def test_the_projects_own_folder_is_used_where_it_has_the_same_content(project: Path) -> None:
    assert settle(ship(packed()), never) == project


@pytest.mark.parametrize("there", ["nothing", "other content", "a file less"])
def test_elsewhere_the_files_are_unpacked_once(project: Path, there: str) -> None:
    shipment = ship(packed())
    if there == "nothing":
        shutil.rmtree(project)
    elif there == "other content":
        (project / FILES[0]).write_bytes(b"other")
    else:
        (project / FILES[1]).unlink()
    asked: list[int] = []

    def fetch(number: int) -> bytes:
        asked.append(number)
        return CONTENT[number]

    home = settle(pickle.loads(pickle.dumps(shipment)), fetch)  # noqa: S301 - our own
    assert home != project
    assert [(home / path).read_bytes() for path in FILES] == CONTENT
    assert settle(shipment, fetch) == home
    assert asked == [0, 1]


def test_workers_that_unpack_at_the_same_time_end_in_one_folder(project: Path, tmp_path: Path) -> None:
    shipment = ship(packed())
    shutil.rmtree(project)
    with ThreadPoolExecutor(8) as pool:
        homes = set(pool.map(lambda _: settle(shipment, CONTENT.__getitem__), range(16)))
    assert len(homes) == 1
    assert sorted(entry.name for entry in (tmp_path / "cache" / "eagleeye").iterdir()) == [homes.pop().name]


def test_a_transfer_that_breaks_off_leaves_nothing(project: Path, tmp_path: Path) -> None:
    shipment = ship(packed())
    shutil.rmtree(project)

    def fetch(number: int) -> bytes:
        if number:
            raise ConnectionError("gone")
        return CONTENT[0]

    with pytest.raises(ConnectionError):
        settle(shipment, fetch)
    assert list((tmp_path / "cache" / "eagleeye").iterdir()) == []


def where(shared: Shared, item: int) -> tuple[int, str, str]:
    return item, str(Path.cwd()), hashlib.sha256(shared.files[0].read_bytes()).hexdigest()


@pytest.mark.parametrize("lanes", [1, 3])
def test_work_finds_the_files_in_its_working_directory(project: Path, lanes: int) -> None:
    shipment = ship(packed())
    shutil.rmtree(project)
    rows = work_on(where, shipment, CONTENT.__getitem__, range(7), lanes)
    assert [row[0] for row in rows] == list(range(7))
    assert {row[2] for row in rows} == {shipment.digests[0]}
    assert {Path(row[1]).parent.name for row in rows} == {"eagleeye"}


def entries(search: Search) -> Sequence[Entry]:
    artifacts.SCOREBOOK.unlink()
    return run_stage("evaluate", search.params).items


def test_scores_made_from_shipped_files_are_the_same_bits(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    items, shared = entries(search), share(search.params, scoring_key(search.params), *scoring.FILES)
    table = pd.read_parquet(artifacts.SCORES).set_index("id")
    shipment, contents = ship(shared), [path.read_bytes() for path in shared.files]
    search.folder.rename(tmp_path / "hidden")
    evaluator._open.cache_clear()
    rows = work_on(scoring.score, shipment, contents.__getitem__, items, 1)
    last = {row.id: row.scores for row in rows}
    assert {name: found.images["accuracy"] for name, found in last.items()} == table["evidence"].to_dict()
    assert {name: found.values["divergence"] for name, found in last.items()} == table["divergence"].to_dict()
    assert {name: found.values["loss"] for name, found in last.items()} == table["loss"].to_dict()


def test_a_machine_that_would_score_otherwise_is_refused(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = share(search.params, scoring_key(search.params), *scoring.FILES)
    monkeypatch.setattr(evaluator, "choose_precision", lambda *_: "another arithmetic")
    evaluator._open.cache_clear()
    with pytest.raises(ConfigError, match="scores made here would be others than those asked for"):
        scoring.score(shared, Entry(None, None, None))
