"""Experiments that DVC runs aside find data, weights and MLflow's store, none of which git carries."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from tasks.settings import override
from tests.flows.project import checkout, dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUICK = {
    "data.source": "imagefolder",
    "data.options": {"train": "data/train", "test": "data/test"},
    "strategies.count": 3,
    "strategies.allocated": False,
    "importance.images": 32,
    "finetune.epochs": 1,
}


def git(folder, *arguments):
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def run(folder, *arguments):
    assert dvc(folder, *arguments).wait(600) == 0


def experiment(folder, name, stage):
    """The hashes of what a stage of an experiment read and wrote, by path."""
    (reference,) = git(folder, "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").splitlines()
    found = YAML(typ="safe").load(git(folder, "show", f"{reference}:dvc.lock"))["stages"][stage]
    return {entry["path"]: entry["md5"] for entry in [*found["deps"], *found["outs"]]}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of somebody's own images and weights, everything else committed."""
    folder = checkout(tmp_path_factory.mktemp("aside"))
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folder / "data" / ("train" if number % 4 else "test") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((15.9 * image).astype(np.uint8)).convert("RGB").save(place / f"{number}.png")
    override(folder / "params.yaml", QUICK)
    run(folder, "repro", "baseline")
    shutil.copy(folder / "artifacts" / "baseline.safetensors", folder / "checkpoints" / "mine.safetensors")
    override(folder / "params.yaml", {"model.checkpoint": "checkpoints/mine.safetensors"})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a project")
    return folder


def test_a_search_runs_aside_is_recorded_in_the_project_and_applied(project):
    run(project, "exp", "run", "--temp", "--name", "aside", "--set-param", "strategies.seed=1")
    assert "artifacts/report" in experiment(project, "aside", "report")
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        places = [Path(place.removeprefix("file://")) for (place,) in store.execute("SELECT artifact_uri FROM runs")]
    assert len(places) > 3
    assert all(place.is_relative_to(project / "mlruns") for place in places)
    assert list((project / "mlruns").rglob("report.html"))
    run(project, "exp", "apply", "aside")
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "changed deps" not in status.stdout
    assert "changed outs" not in status.stdout
    assert git(project, "status", "--porcelain", "checkpoints", "data") == ""


def test_what_was_made_of_other_weights_is_not_taken(project):
    weights = project / "checkpoints" / "mine.safetensors"
    run(project, "exp", "run", "--temp", "--name", "before", "baseline")
    save_file({name: 1.001 * tensor for name, tensor in load_file(weights).items()}, weights)
    run(project, "exp", "run", "--temp", "--name", "after", "baseline")
    before, after = (experiment(project, name, "baseline") for name in ("before", "after"))
    for path in ("artifacts/watched/checkpoint.json", "artifacts/baseline.safetensors"):
        assert before[path] != after[path]
    assert before["artifacts/sub_validation.parquet"] == after["artifacts/sub_validation.parquet"]
