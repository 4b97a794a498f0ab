import importlib
import sys
from pathlib import Path

import pytest

from tasks.state.sources import own_sources, sources_of
from tests.imports import ROOT, closure


@pytest.mark.parametrize("module", ["eagleeye.scoring.entry", "eagleeye.train", "eagleeye.data", "eagleeye.report"])
def test_the_sources_of_a_module_are_all_that_it_imports(module: str) -> None:
    found = sources_of(module)
    file = Path(importlib.import_module(module).__file__ or "")
    wanted = {path for path in closure(file) if path != ROOT / "eagleeye" / "__init__.py"}
    assert set(found.values()) == wanted
    assert found[module] == file
    assert all(importlib.util.find_spec(name).origin == str(path) for name, path in found.items())


def test_what_a_score_is_made_of_is_neither_pages_nor_training() -> None:
    rooms = {name.split(".")[1] for name in sources_of("eagleeye.engine", "eagleeye.scoring.entry")}
    assert {"channels", "engine", "scoring", "importance", "reconstruction"} < rooms
    assert not rooms & {"report", "train", "study", "latency"}


def test_own_code_is_every_file_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mine_own"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "network.py", "deep/layers.py"):
        (package / name).write_text("")
    (package / "notes.txt").write_text("")
    (tmp_path / "mine_alone.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {"mine_own/__init__.py", "mine_own/network.py", "mine_own/deep/layers.py"}
    assert set(own_sources("mine_own.network:make", "cifar_resnet20", "l1")) == files
    assert own_sources("mine_alone:make") == {"mine_alone": tmp_path / "mine_alone.py"}
    assert "mine_own" not in sys.modules


def test_own_code_is_followed_to_what_it_imports_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "mine_first.py": "import os, torch, eagleeye.data\nfrom mine_second.deep import layer\n",
        "mine_second/deep.py": "from . import other\nimport mine_third as third, mine_first, mine_nowhere\n",
        "mine_second/other.py": "a broken file(",
        "mine_third.py": "",
        "mine_unused.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {"mine_first", "mine_second/deep.py", "mine_second/other.py", "mine_third"}
    assert set(own_sources("mine_first:make")) == names


@pytest.mark.parametrize(
    "reference", ["parquet", "torchvision:CIFAR10", "torchvision.models:resnet18", "nowhere:f", "os:system"]
)
def test_what_is_installed_or_nowhere_is_not_ones_own(reference: str) -> None:
    assert own_sources(reference) == {}
