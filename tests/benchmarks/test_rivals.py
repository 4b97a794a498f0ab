"""Rivals: each meets the budget, all layers together or each alone, and leaves the subject as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rivals import RIVALS
from benchmarks.subjects import IMAGENET, Subject
from eagleeye.data import Images, open_source
from eagleeye.models import build

pytest.importorskip("torch_pruning", reason="needs the extra: pip install eagleeye-pruning[coverage]")


def macs(network: nn.Module) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, 32, 32))
    return counter.get_total_flops() / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RIVALS))
def test_rivals_meet_the_budget(name: str) -> None:
    torch.manual_seed(0)
    network = build("mobilenet_v1_cifar", num_classes=10, width=0.25)
    _, nothing = open_source("digits")  # a rival sees the calibration images alone
    subject = Subject("noise", network.eval(), IMAGENET, nothing, ([], []), nothing)
    pixels = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    subject.__dict__["calibration"] = Images(pixels, torch.randint(0, 10, (64,)))
    before, weight = macs(network), network.conv1.weight.clone()
    thin = RIVALS[name](subject, 0.5)
    assert 0.46 <= macs(thin) / before <= 0.5
    assert macs(network) == before and torch.equal(network.conv1.weight, weight)
    widths = [module.out_channels for module in thin.modules() if isinstance(module, nn.Conv2d)]
    assert thin.linear.out_features == 10 and min(widths) >= 1
