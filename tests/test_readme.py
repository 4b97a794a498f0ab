"""The README's lines of Python, as a reader would run them: on real images, with a network that was trained on them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import eagleeye
from tests.eagleeye.compression.digits import TRAINING, accuracy, digits, inputs, trained

README = Path(__file__).parents[1] / "README.md"
PIXELS, LABELS = (part[:TRAINING] for part in digits())
X = inputs(PIXELS)
CALIBRATION, SUB_VALIDATION = slice(128), slice(128, 428)
ELSEWHERE = """
import sys, torch, eagleeye
network, (x, labels) = eagleeye.load("pruned.safetensors"), torch.load("images.pt")
print(repr(float((network(x).argmax(1) == labels).double().mean())))
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def accuracy_elsewhere(x: Tensor, labels: Tensor) -> float:
    """Of the saved file, in a process that knows the library alone."""
    torch.save((x, labels), "images.pt")
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout)


@pytest.mark.parametrize("fine_tuning", ["", ", epochs=2"])
def test_the_file_that_the_five_lines_save_is_as_good_as_they_say(
    fine_tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _ = blocks()
    assert "macs=0.5)" in code
    # As a pair, what scores is known here; the rest is as a reader has it.
    images = (
        TensorDataset(X[CALIBRATION], LABELS[CALIBRATION]),
        TensorDataset(X[SUB_VALIDATION], LABELS[SUB_VALIDATION]),
    )
    used: dict[str, Any] = {"model": trained(), "images": images}
    exec(code.replace("macs=0.5)", f"macs=0.5, candidates=12{fine_tuning})"), used)  # noqa: S102
    result = used["result"]
    assert accuracy_elsewhere(X[SUB_VALIDATION], LABELS[SUB_VALIDATION]) == result.score >= 0.9
    assert Path("report.html").is_file()
    full = eagleeye.cost(trained(), X[:1]).macs
    assert abs(eagleeye.cost(eagleeye.load("pruned.safetensors"), X[:1]).macs / full - 0.5) <= 0.005


@pytest.mark.slow
def test_the_five_lines_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    used: dict[str, Any] = {"model": trained(), "images": DataLoader(TensorDataset(X, LABELS), shuffle=True)}
    exec(blocks()[0], used)  # noqa: S102
    rest, labels = (part[TRAINING:] for part in digits())
    assert accuracy_elsewhere(inputs(rest), labels) > accuracy(trained(), inputs(rest), labels) - 0.04


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_the_file_that_the_long_form_saves_is_as_good_as_its_ranking_says(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, code = blocks()
    assert "count=100," in code
    monkeypatch.chdir(tmp_path)
    model: nn.Module = trained()
    used: dict[str, Any] = {
        "model": model,
        "example_input": X[:1],
        "calibration": DataLoader(TensorDataset(X[CALIBRATION], LABELS[CALIBRATION]), batch_size=128),
        "sub_validation": TensorDataset(X[SUB_VALIDATION], LABELS[SUB_VALIDATION]),
    }
    exec(code.replace("count=100,", f"count={count},"), used)  # noqa: S102
    x, labels, ranking = X[SUB_VALIDATION], LABELS[SUB_VALIDATION], used["ranking"]
    candidates = used["strategies"]
    assert len(candidates) >= count + 2  # drawn, evenly pruned, allocated
    assert ranking["rank"].tolist() == list(range(1, len(candidates) + 1))
    # Rounding, to 16 bits on some machines, decides about an image or two; the full network's statistics about a third.
    assert abs(accuracy_elsewhere(x, labels) - ranking["accuracy"][0]) <= 0.02
    winner = next(each for each in candidates if each.id == ranking["id"][0])
    stale = eagleeye.prune(model, used["space"], winner)
    assert accuracy(stale, x, labels) < ranking["accuracy"][0] - 0.2
    small = eagleeye.load("pruned.safetensors")
    macs = [eagleeye.cost(network, X[:1]).macs for network in (small, model)]
    assert abs(macs[0] / macs[1] - 0.5) <= 0.005
