"""Counted MACs and parameters against published figures."""

from __future__ import annotations

import pytest
import torch

import eagleeye
from eagleeye.models import build


@pytest.mark.parametrize(
    ("name", "size", "macs", "params"),
    [
        ("cifar_resnet20", 32, 40_551_040, 269_722),
        ("cifar_resnet56", 32, 125_485_696, 853_018),
        ("resnet50", 224, 4_089_184_256, 25_557_032),
    ],
)
def test_published_networks_cost_what_is_published(name: str, size: int, macs: int, params: int) -> None:
    classes = 1000 if name == "resnet50" else 10
    counted = eagleeye.cost(build(name, num_classes=classes), torch.randn(2, 3, size, size))
    assert counted == eagleeye.Cost(macs, params)
