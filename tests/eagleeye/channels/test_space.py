"""Widths of rates against their definition."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eagleeye


@given(rate=st.floats(0, 1), channels=st.integers(2, 300))
@settings(max_examples=60, deadline=None)
def test_floor_of_rate_times_channels_goes_but_never_all(rate: float, channels: int) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, channels, 1), torch.nn.Conv2d(channels, 2, 1))
    width = eagleeye.trace(model, torch.randn(1, 3, 2, 2)).widths_of([rate])[0]
    assert width == max(1, channels - math.floor(rate * channels + 1e-9))


def test_a_decimal_rate_means_what_it_says() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 100, 1), torch.nn.Conv2d(100, 2, 1))
    assert 0.29 * 100 < 29  # binary fractions fall short
    assert eagleeye.trace(model, torch.randn(1, 3, 2, 2)).widths_of([0.29]) == (71,)


@given(rate=st.floats(0, 1), channels=st.integers(2, 300), multiple=st.integers(2, 64))
@settings(max_examples=60, deadline=None)
def test_rounded_widths_are_the_nearest_multiple_within_the_group(rate: float, channels: int, multiple: int) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, channels, 1), torch.nn.Conv2d(channels, 2, 1))
    space = eagleeye.trace(model, torch.randn(1, 3, 2, 2))
    exact, rounded = (int(space.widths(np.array([[rate]]), m)[0, 0]) for m in (1, multiple))
    allowed = list(range(multiple, channels + 1, multiple)) or [channels]
    assert rounded in {*allowed, channels}
    if rounded != channels:
        assert abs(rounded - exact) == min(abs(width - exact) for width in allowed)
    if exact == channels:
        assert rounded == channels or rounded == max(allowed)


def test_rounding_leaves_small_groups_and_full_groups_whole() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 1), torch.nn.Conv2d(6, 20, 1), torch.nn.Conv2d(20, 2, 1))
    space = eagleeye.trace(model, torch.randn(1, 3, 2, 2))
    rates = np.array([[0.0, 0.0], [0.9, 0.9], [0.5, 0.4], [0.5, 0.41]])
    assert space.widths(rates, 8).tolist() == [[6, 20], [6, 8], [6, 16], [6, 16]]
