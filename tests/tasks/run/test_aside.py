from pathlib import Path

import pytest

from eagleeye.errors import ConfigError
from tasks.artifacts import DIGESTS
from tasks.record.own_store import file_of, is_own
from tasks.run.aside import link_what_git_leaves_out, project_folder
from tasks.settings import read_params
from tasks.state import digests
from tasks.state.digests import Digests

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(tmp_path):
    """A project with data and weights that git leaves out."""
    home = tmp_path / "project"
    for name in ("data/train/cat/1.png", "tables/train-1.parquet", "tables/train-2.parquet", "tables/note.txt"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    for name in ("checkpoints/.gitignore", "checkpoints/mine.pth", "weights/other.pth"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(name)
    return home


@pytest.fixture
def aside(home, monkeypatch):
    """The folder of an experiment, the working directory: git carries one of the tables and no checkpoint."""
    folder = home / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1234"
    for name in ("checkpoints/.gitignore", "tables/note.txt"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("of git")
    monkeypatch.chdir(folder)
    return folder


def params(options=(), **model):
    found = read_params(ROOT / "params.yaml")
    data = found.data.model_copy(update={"options": dict(options)})
    return found.model_copy(update={"data": data, "model": found.model.model_copy(update=model)})


def links(folder):
    return {path.relative_to(folder).as_posix(): path.resolve() for path in folder.rglob("*") if path.is_symlink()}


def test_the_project_is_where_an_experiment_came_from(home, aside, monkeypatch):
    assert project_folder() == home
    (aside / "sub").mkdir()
    monkeypatch.chdir(home)
    assert project_folder() == home
    monkeypatch.chdir(home / "data")
    assert project_folder() == home / "data"


def test_paths_of_the_settings_lead_to_the_projects_files(home, aside):
    options = {"train": ["tables/train-*.parquet", "data/train"], "root": "/elsewhere", "name": "no path", "limit": 3}
    link_what_git_leaves_out(params(options, checkpoint="weights/other.pth"))
    parquet = {f"tables/train-{number}.parquet" for number in (1, 2)}
    assert links(aside) == {name: home / name for name in {"data", "weights", *parquet}}
    assert (aside / "data/train/cat/1.png").read_text() == "data/train/cat/1.png"
    assert (aside / "tables/note.txt").read_text() == "of git"


def test_the_second_stage_finds_all_there(home, aside):
    for _ in range(2):
        link_what_git_leaves_out(params({"train": "data/train"}, checkpoint="checkpoints/mine.pth"))
    assert links(aside) == {name: home / name for name in ("data", "checkpoints/mine.pth")}


def test_of_a_model_the_options_may_be_paths_too(aside):
    link_what_git_leaves_out(params(options={"weights": "weights/other.pth"}))
    assert (aside / "weights" / "other.pth").is_file()


def test_in_the_project_itself_nothing_is_linked(home, monkeypatch):
    monkeypatch.chdir(home)
    link_what_git_leaves_out(params({"train": "data/nothing"}, checkpoint="../elsewhere.pth"))
    assert links(home) == {}


def test_a_path_that_leads_out_of_the_project_is_named_with_the_way_out(home, aside):
    (home.parent / "images").mkdir()
    with pytest.raises(ConfigError, match=rf"\.\./images .*write {home.parent}/images$"):
        link_what_git_leaves_out(params({"train": "../images"}))
    link_what_git_leaves_out(params({"train": "../missing"}))


def test_a_system_without_links_is_told_how_to_do_without(home, aside, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(ConfigError, match=r"--copy-paths checkpoints/mine\.pth"):
        link_what_git_leaves_out(params(checkpoint="checkpoints/mine.pth"))


def test_what_is_known_of_the_files_need_not_be_read_again(home, aside, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setattr(digests, "YOUNG", -1.0)
    with Digests(DIGESTS) as record:
        known = record.of(Path("data/train/cat/1.png"))
    monkeypatch.chdir(aside)
    link_what_git_leaves_out(params({"train": "data/train"}))
    monkeypatch.setattr(digests, "_read", lambda path: pytest.fail(f"{path} is read"))
    with Digests(DIGESTS) as record:
        assert record.of(Path("data/train/cat/1.png")) == known


def test_an_experiment_is_recorded_in_the_projects_store(home, aside):
    assert file_of("sqlite:///mlflow.db") == home / "mlflow.db"
    assert is_own(home / "mlflow.db")
    assert file_of("sqlite:////srv/mlflow.db") == Path("/srv/mlflow.db")
    assert not is_own(Path("/srv/mlflow.db"))
