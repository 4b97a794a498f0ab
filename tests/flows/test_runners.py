"""Which runner the settings mean, and what is said where it cannot be had."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eagleeye.errors import ConfigError
from flows.runners import Ray
from tasks.settings import override, read_params
from tests.flows.project import ROOT


def test_a_missing_ray_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'eagleeye-pruning\[ray\]', or set it to local"):
        Ray(None)


def test_an_address_without_ray_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(ConfigError, match="runner: address is head:6379: engine local has none"):
        override(tmp_path / "params.yaml", {"runner.address": "head:6379"})
    assert override(tmp_path / "params.yaml", {"runner.engine": "ray", "runner.address": "head:6379"})
    assert read_params(tmp_path / "params.yaml").runner.address == "head:6379"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_gives_the_same_scores_even_if_a_node_dies() -> None:
    pytest.importorskip("ray")
    if subprocess.run(["unshare", "--map-root-user", "--net", "--mount", "true"], check=False).returncode:
        pytest.skip("needs a network namespace, which this machine does not allow")
    command = [sys.executable, "-m", "benchmarks.cluster", "--candidates", "60", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.rindex("\n{") :])
    assert set(found) == {"local, 1 thread", "2 nodes, one killed"}
    assert all(run["same"] for run in found.values())
