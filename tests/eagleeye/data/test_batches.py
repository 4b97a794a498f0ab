"""Batches: against torchvision's normalisation."""

import pytest
import torch
from torchvision.transforms.v2 import functional

from eagleeye.data import Batches, Images, Preprocess
from eagleeye.errors import ConfigError, DataError

PREPROCESS = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))


def some(count: int) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 5, 4), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(count))


@pytest.mark.parametrize(("count", "size", "lengths"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 9, [3])])
def test_inputs_and_labels(count: int, size: int, lengths: list[int]) -> None:
    images = some(count)
    batches = Batches(images, PREPROCESS, batch_size=size, device="cpu", labelled=True)
    pairs = list(batches)
    assert [len(inputs) for inputs, _ in pairs] == lengths
    assert len(batches) == len(lengths)
    inputs = torch.cat([entry for entry, _ in pairs])
    expected = functional.normalize(
        functional.to_dtype(images.pixels, torch.float32, scale=True), [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
    )
    assert inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, expected, rtol=0, atol=2e-6)
    assert torch.equal(torch.cat([labels for _, labels in pairs]), images.labels)


def test_the_same_again_and_the_bytes_untouched() -> None:
    images = some(7)
    before = images.pixels.clone()
    batches = Batches(images, PREPROCESS, batch_size=3, device="cpu", labelled=False)
    first = [batch.clone() for batch in batches]
    for batch in batches:
        batch.zero_()
    assert all(torch.equal(one, other) for one, other in zip(first, batches, strict=True))
    assert torch.equal(images.pixels, before)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1; got 0"):
        Batches(some(2), PREPROCESS, batch_size=0, device="cpu", labelled=True)
    with pytest.raises(DataError, match="no images"):
        Batches(some(0), PREPROCESS, batch_size=1, device="cpu", labelled=True)
