"""The notebooks run as they stand, with fewer candidates, and what they print of the pruned network is true."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

import eagleeye

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path, changes: dict[str, str]) -> dict[str, Any]:
    """Run a notebook's code cells one after another."""
    monkeypatch.chdir(folder)
    mpl.use("Agg")
    cells = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))["cells"]
    used: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        for old, new in changes.items():
            source = source.replace(old, new)
        exec(compile(source, f"{name}, cell {number}", "exec"), used)  # noqa: S102
    plt.close("all")
    return used


def test_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used = run("digits.ipynb", monkeypatch, tmp_path, {"candidates=40": "candidates=8"})
    x, labels = used["images"][used["test"]], used["labels"][used["test"]]
    with torch.no_grad():
        right = (eagleeye.load(tmp_path / "pruned.safetensors")(x).argmax(1) == labels).float().mean().item()
    assert right > 0.85
    assert f"pruned {right:.1%} of the test digits" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()
    assert len(used["thinner"].history) == 3


@pytest.mark.slow
def test_a_network_of_timm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    used = run("timm.ipynb", monkeypatch, tmp_path, {"candidates=20": "candidates=4"})
    result = used["result"]
    assert result.score > 0.8
    assert eagleeye.evaluate(result.model, used["loader"]).accuracy > 0.8
    assert result.classes == tuple(f"digit {number}" for number in range(10))
    assert (result.preprocess.size, result.preprocess.mean) == (32, tuple(used["config"]["mean"]))
    assert eagleeye.read_metadata("pruned.safetensors")["id"] == result.winner
