"""Every edit of what is the user's changes the record of it, and nothing else does."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifacts import WATCHED_CHECKPOINT, WATCHED_CODE, WATCHED_DATA
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, Recorder, run_stage

FOLDERS = {"data.source": "imagefolder", "data.options": {"train": "images/train", "test": "images/val"}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "val"):
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
            path = Path("images", part, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{part} {name}".encode())
    return tmp_path


def settings(**changes: object) -> Params:
    path = Path("params.yaml")
    shutil.copy(ROOT / "params.yaml", path)
    override(path, FOLDERS | {key.replace("__", "."): value for key, value in changes.items()})
    return read_params(path)


def watched(params: Params, context: Recorder | None = None) -> list[str]:
    run_stage("watch", params, context)
    return [path.read_text() for path in (WATCHED_DATA, WATCHED_CHECKPOINT, WATCHED_CODE)]


def edited() -> None:
    Path("images/train/cat/2.jpg").write_bytes(b"train cat/9.jpg")  # as long as before


def added() -> None:
    Path("images/val/dog/2.jpg").write_bytes(b"")


def deleted() -> None:
    Path("images/train/dog/1.jpg").unlink()


def renamed() -> None:
    Path("images/train/cat/2.jpg").rename("images/train/dog/2.jpg")


def without_images() -> None:
    Path("images/train/zebra").mkdir()


@pytest.mark.parametrize("edit", [edited, added, deleted, renamed, without_images])
def test_an_edit_of_the_folder_is_noticed(project: Path, edit: Callable[[], None]) -> None:
    params, context = settings(), Recorder()
    before = watched(params)
    edit()
    after = watched(params, context)
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    assert context.said == [f"watch: changed: {'test' if edit is added else 'train'} (data)"]


def test_neither_times_nor_places_nor_hidden_files_matter(project: Path) -> None:
    params, before = settings(), watched(settings())
    kept = [path.stat().st_mtime_ns for path in (WATCHED_DATA, WATCHED_CHECKPOINT, WATCHED_CODE)]
    for path in Path("images").rglob("*.jpg"):
        os.utime(path, (1, 1))
    Path("images/train/cat/.DS_Store").write_bytes(b"x")
    shutil.copytree("images", "elsewhere")
    Path("images/train/again").symlink_to(Path("images/train").absolute())
    context = Recorder()
    assert watched(params, context) == before
    assert [path.stat().st_mtime_ns for path in (WATCHED_DATA, WATCHED_CHECKPOINT, WATCHED_CODE)] == kept
    assert (context.said, context.warned) == ([], [])
    assert watched(settings(data__options={"train": "elsewhere/train", "test": "elsewhere/val"})) == before


def test_sizes_see_names_and_sizes_and_nothing_sees_nothing(project: Path) -> None:
    params = settings(data__watch="sizes")
    before = watched(params)
    edited()
    assert watched(params) == before
    added()
    assert watched(params) != before
    params = settings(data__watch="nothing")
    before = watched(params)
    deleted()
    assert watched(params) == before
    assert json.loads(before[0]) == {}


def test_the_record_says_what_there_is(project: Path) -> None:
    told = json.loads(watched(settings())[0])
    assert {name: (facts["files"], facts["bytes"]) for name, facts in told.items()} == {
        "train": (3, 3 * len("train cat/1.jpg")),
        "test": (3, 3 * len("val cat/1.jpg")),
    }


def test_parquet_files_are_found_by_pattern_and_own_functions_by_what_is_there(project: Path) -> None:
    for name in ("a-0.parquet", "a-1.parquet"):
        Path(name).write_bytes(b"x")
    parquet = settings(data__source="parquet", data__options={"train": "a-*.parquet", "test": ["a-0.parquet"]})
    before = watched(parquet)
    Path("a-1.parquet").write_bytes(b"y")
    assert watched(parquet)[0] != before[0]
    own = settings(data__source="mine.data:open", data__options={"root": "images", "column": "label", "size": 3})
    assert list(json.loads(watched(own)[0])) == ["root"]
    edited()
    before = watched(own)
    added()
    assert watched(own)[0] != before[0]


def test_a_checkpoint_is_watched_wherever_it_is(project: Path) -> None:
    Path("mine.pth").write_bytes(b"one")
    params = settings(model__checkpoint="mine.pth")
    before = watched(params)
    Path("mine.pth").write_bytes(b"two")
    after = watched(params)
    assert after[1] != before[1]
    assert (after[0], after[2]) == (before[0], before[2])


def test_what_is_missing_here_stays_as_it_was_on_record(project: Path) -> None:
    Path("mine.pth").write_bytes(b"one")
    params, context = settings(model__checkpoint="mine.pth"), Recorder()
    before = watched(params)
    shutil.rmtree("images")
    Path("mine.pth").unlink()
    assert watched(params, context) == before
    assert [line.split(":")[1].strip() for line in context.warned] == ["train", "test", "checkpoint"]
    for path in (WATCHED_DATA, WATCHED_CHECKPOINT):
        path.unlink()
    assert [json.loads(text) for text in watched(params)[:2]] == [{}, {}]


def test_own_code_and_what_it_imports_is_watched(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    Path("watched_net.py").write_text("import torch\nimport watched_blocks.parts\n")
    Path("watched_blocks").mkdir()
    Path("watched_blocks/parts.py").write_text("one = 1\n")
    params = settings(model__name="watched_net:make")
    before = watched(params)
    assert list(json.loads(before[2])) == ["watched_blocks/parts.py", "watched_net"]
    Path("watched_blocks/parts.py").write_text("one = 2\n")
    after = watched(params)
    assert after[2] != before[2]
    assert after[:2] == before[:2]
