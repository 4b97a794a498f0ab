import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eagleeye.train import current_share, local_device
from eagleeye.train.distributed import Share

SCRIPT = Path(__file__).with_name("one_of_many.py")
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no batch norm", "batch norm", "taught"])
def test_two_processes_train_what_one_trains(kind, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*torchrun, str(SCRIPT), kind, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (first, accuracy, epochs), (second, other_accuracy, silent) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)
    )
    weights, expected, _ = runpy.run_path(str(SCRIPT))["run"](kind)
    assert accuracy == other_accuracy == pytest.approx(expected, abs=0.1)
    assert accuracy > 0.8
    assert (epochs, silent) == ([1, 2, 3, 4], [])
    for name, value in first.items():
        assert torch.equal(value, second[name])
        if kind != "batch norm":
            torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-5)


def test_alone_there_is_one_share_and_the_device_asked_for(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert current_share() == Share(0, 1)
    assert local_device("cpu") == torch.device("cpu")


def test_under_torchrun_every_process_has_its_own_share_and_gpu(monkeypatch):
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert current_share() == Share(5, 8)
    assert local_device("cuda") == torch.device("cuda", 1)
    assert local_device("cuda:3") == torch.device("cuda", 3)
    assert local_device("cpu") == torch.device("cpu")
