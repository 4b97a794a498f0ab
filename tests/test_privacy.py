"""Nothing is looked up, reached or left behind that the user did not ask for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.settings import override
from tests.flows.project import ROOT, checkout, free_port
from tests.traffic import outside, watched

OWN = {".cache/matplotlib", ".config/matplotlib", ".cache/eagleeye"}
SMALL = {
    "model.name": "eagleeye.models.cifar_resnet:CifarResNet",
    "model.options": {"blocks": 1},
    "strategies.count": 6,
    "rank.top_k": 1,
    "finetune.epochs": 1,
}


def as_typed(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who has set nothing."""
    home.mkdir(exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(home), "OMP_NUM_THREADS": "1", **more}


def left_in(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("package", ["eagleeye", "tasks"])
def test_onnx_runtime_keeps_no_device_id(package: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    environment = as_typed(tmp_path / "home", PYTHONPATH=str(ROOT))
    command = [sys.executable, "-c", f"import {package}, onnxruntime; print(onnxruntime.__version__)"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert left_in(tmp_path / "home") == set()


TRACE = """\
7 connect(3, {sa_family=AF_INET, sin_port=htons(4200), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
7 connect(3, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0
7 connect(3, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "::ffff:127.0.0.1", &sin6_addr)}, 28) = 0
7 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)
7 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16) = 0
7 sendto(3, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.9")}, 16) = 1
7 connect(3, {sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "2001:db8::9", &sin6_addr)}, 28) = 0
"""


def test_what_leaves_the_machine_is_told_from_what_does_not() -> None:
    assert outside(TRACE) == TRACE.splitlines()[-3:]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, which is not installed")
def test_whole_runs_reach_nobody_else(tmp_path: Path) -> None:
    folder, home, traces = checkout(tmp_path / "project"), tmp_path / "home", tmp_path / "trace"
    override(folder / "params.yaml", SMALL)
    watched(["dvc", "repro"], folder, as_typed(home), traces)
    assert outside(traces.read_text()) == []
    # The same through servers, a worker and Ray.
    override(folder / "params.yaml", {"strategies.count": 8, "runner.engine": "ray"})
    port, pages = free_port(), free_port()
    where = {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    environment = as_typed(home, MLFLOW_PORT=str(pages), **where)
    commands = (
        "python -m flows.servers up && prefect deployment run eagleeye/search --watch; python -m flows.servers down"
    )
    said = watched(["sh", "-c", commands], folder, environment, traces)
    assert "finished successfully" in said
    assert outside(traces.read_text()) == []
    assert {"/".join(name.split("/")[:2]) for name in left_in(home)} <= OWN
