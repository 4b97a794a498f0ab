"""Normalising: against torchvision, and the same value wherever a byte occurs."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from eagleeye.data import Preprocess
from eagleeye.data.normalise import Normaliser

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def some(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=source).permute(0, 3, 1, 2)


@settings(max_examples=40, deadline=None)
@given(
    sides=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.05, 1)] * 3),
    contiguous=st.booleans(),
)
@example(sides=(1, 2, 1), mean=MEAN, std=STD, contiguous=True)
def test_as_torchvision_does_within_rounding(sides: tuple, mean: tuple, std: tuple, contiguous: bool) -> None:
    pixels = some(*sides)
    pixels = pixels.contiguous() if contiguous else pixels
    found = Normaliser(Preprocess(mean=mean, std=std), "cpu")(pixels)
    expected = functional.normalize(pixels.double() / 255, list(mean), list(std))
    # Three roundings to float32, each relative to at most 1 / std.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3 * 2**-23 / min(std))
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 7), (1, 1), (19, 3)])
def test_equal_bytes_of_a_channel_become_equal_bits(height: int, width: int) -> None:
    normalise, pixels = Normaliser(Preprocess(mean=MEAN, std=STD), "cpu"), some(37, height, width)
    found = normalise(pixels)
    for channel in range(3):
        pairs = torch.stack([pixels[:, channel].double().flatten(), found[:, channel].double().flatten()])
        assert pairs.unique(dim=1).shape[1] == pixels[:, channel].unique().numel()


def test_other_types_are_rounded_from_float32() -> None:
    pixels, shape = some(3, 8, 8), Preprocess(mean=MEAN, std=STD)
    half = Normaliser(shape, "cpu", torch.bfloat16)(pixels)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, Normaliser(shape, "cpu")(pixels).to(torch.bfloat16))
    assert half.is_contiguous(memory_format=torch.channels_last)


def test_the_bytes_are_left_alone() -> None:
    pixels = some(3, 8, 8)
    before = pixels.clone()
    Normaliser(Preprocess(), "cpu")(pixels).zero_()
    assert torch.equal(pixels, before)
