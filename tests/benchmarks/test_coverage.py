"""The coverage table says yes where it may, and its judge of the other tool tells right from wrong."""

from __future__ import annotations

import importlib

import pytest
import torch

from benchmarks.coverage_page import page
from tests.eagleeye.networks import Plain, lively

FINE = {"groups": 3, "prunable": 0.987, "macs": 0.505, "difference": 3e-15, "seconds": 0.25}


def test_a_network_is_a_row_and_an_error_a_line() -> None:
    failed = {"error": "RuntimeError: no"}
    wrong = {**FINE, "macs": 0.61, "difference": 0.2}
    text = page(
        [
            {"network": "a/x", "side": 64, "eagleeye": FINE, "torch_pruning": failed},
            {"network": "a/y", "side": 32, "eagleeye": failed, "torch_pruning": wrong},
        ],
        "1.2.3",
    )
    assert "| a/x | 64 | 3 | 98.7 % | yes, 50.5 % | yes, 3e-15 | 0.2 | no | error | - |" in text
    assert "| a/y | 32 | - | - | no | - | - | no, 61.0 % | **no**, 2e-01 | 0.2 |" in text
    assert "Of 2 networks 1 could be pruned here, 1 to half of their MACs, 1 meeting the criterion" in text
    assert "with Torch-Pruning 1 ran, 0 at half of their MACs, 0 meeting it" in text
    assert "- a/x, Torch-Pruning: RuntimeError: no" in text
    assert "- a/y, here: RuntimeError: no" in text


def test_the_judge_of_the_other_tool_tells_right_from_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_pruning", reason="needs the extra: pip install eagleeye-pruning[coverage]")
    rival = importlib.import_module("benchmarks.coverage_rival")

    def cut(network: torch.nn.Module, x: torch.Tensor, ratio: float, consumed: int = 5) -> None:
        keep, inputs = torch.tensor([0, 2, 3, 4, 7]), torch.tensor([0, 2, 3, 4, 7])[:consumed]
        inputs = inputs if consumed == 5 else torch.tensor([0, 1, 2, 3, 4])
        conv, norm = network.a[0], network.a[1]
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data = tensor.data[keep]
        network.b[0].weight.data = network.b[0].weight.data[:, inputs]

    network, x = lively(Plain()), torch.randn(1, 3, 12, 12)
    monkeypatch.setattr(rival, "_prune", cut)
    assert rival._difference(network, x, 0.5) < 1e-12
    monkeypatch.setattr(rival, "_prune", lambda *args: cut(*args, consumed=4))
    assert rival._difference(network, x, 0.5) > 1e-3
