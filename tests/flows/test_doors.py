"""Both doors on the real pipeline: killed in one, continued in the other, the same result as undisturbed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from dvc.repo import Repo

from flows.search import search
from tasks.settings import override

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "data.preprocess.size": 8,
    "baseline.epochs": 3,
    "baseline.lr": 0.05,
    "strategies.count": 40,
    "finetune.epochs": 3,
    "report.latency_repeats": 5,
}
TABLES = ["scores.parquet", "ranking.parquet", "finetune/results.parquet", "finetune/pruned.safetensors"]


def checkout(folder: Path) -> Path:
    """The project's files, as a clone would have them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name not in ("dvc.lock", "metrics.json"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    override(folder / "params.yaml", SMALL)
    return folder


def dvc(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # As many threads as the tests have: sums in another order differ in their last bits.
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def scored(folder: Path) -> int:
    try:
        book = sqlite3.connect(f"file:{folder}/.eagleeye/scores.sqlite?mode=ro", uri=True)
        return int(book.execute("SELECT count(*) FROM evaluations").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_killed_in_one_door_and_continued_in_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, killed = (checkout(tmp_path / name) for name in ("undisturbed", "killed"))
    assert dvc(undisturbed, "repro").wait() == 0

    process = dvc(killed, "repro")
    while scored(killed) < 10 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 10 <= scored(killed) < 41

    monkeypatch.chdir(killed)
    assert search(return_state=True).is_completed()
    assert scored(killed) == 41
    for name in TABLES:
        assert (killed / "artifacts" / name).read_bytes() == (undisturbed / "artifacts" / name).read_bytes(), name
    with Repo(str(killed)) as repo:
        assert not repo.status()
    assert dvc(killed, "repro").wait() == 0
