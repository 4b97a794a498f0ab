"""Distances and histograms by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from eagleeye.study import drift
from eagleeye.study.drift import Moments
from tests.eagleeye.networks import Residual, lively


def test_statistics_are_copies_of_every_layer_that_keeps_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False))
    found = drift.statistics(network)
    assert list(found) == ["1"]
    network[1].running_mean += 1
    assert found["1"].mean.tolist() == [0, 0, 0, 0]


def test_distances_are_relative_to_the_fine_tuned_network() -> None:
    true = {"bn": Moments(torch.tensor([0.0, 3.0]).double(), torch.tensor([4.0, 12.0]).double())}
    found = {"bn": Moments(torch.tensor([4.0, 0.0]).double(), torch.tensor([7.0, 8.0]).double())}
    mean, variance = drift.distances(found, true)["bn"]
    assert mean == pytest.approx(5 / np.sqrt(16))
    assert variance == pytest.approx(5 / np.sqrt(16 + 144))
    assert drift.distances(true, true) == {"bn": (0.0, 0.0)}


def test_the_first_the_middle_and_the_last_convolution_are_typical() -> None:
    network = lively(Residual())
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    found = list(drift.typical_weights(network))
    assert found[0] == names[0]
    assert found[-1] == names[-1]
    assert len(found) == min(3, len(names))
    assert list(drift.typical_weights(nn.Conv2d(3, 4, 1))) == [""]


def test_histograms_count_every_weight_once_and_tell_the_shift() -> None:
    old = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    (row,) = drift.weight_histograms({"conv": old}, {"conv": old + 0.5})
    assert sum(row["before"]) == sum(row["after"]) == old.numel()
    assert row["edges"][0] == pytest.approx(float(old.min()))
    assert row["edges"][-1] == pytest.approx(float(old.max()) + 0.5)
    assert row["shift"] == pytest.approx(0.5 / float(old.numpy().std()), rel=1e-5)
