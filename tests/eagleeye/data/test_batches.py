"""Batches: against torchvision's normalisation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from eagleeye.data import Batches, Images, Preprocess, decode_to, residence
from eagleeye.errors import ConfigError, DataError
from tests.eagleeye.data.memory import Pictures, coded, noise

PREPROCESS = Preprocess(mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))


def some(count: int) -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, 5, 4), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(count))


@pytest.mark.parametrize(("count", "size", "lengths"), [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 9, [3])])
def test_inputs_and_labels(count: int, size: int, lengths: list[int]) -> None:
    images = some(count)
    made = Batches(images, PREPROCESS, batch_size=size, device="cpu", labelled=True)
    pairs = list(made)
    assert [len(inputs) for inputs, _ in pairs] == lengths
    assert len(made) == len(lengths)
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
    made = Batches(images, PREPROCESS, batch_size=3, device="cpu", labelled=False)
    first = [batch.clone() for batch in made]
    for batch in made:
        batch.zero_()
    assert all(torch.equal(one, other) for one, other in zip(first, made, strict=True))
    assert torch.equal(images.pixels, before)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1; got 0"):
        Batches(some(2), PREPROCESS, batch_size=0, device="cpu", labelled=True)
    with pytest.raises(DataError, match="no images"):
        Batches(some(0), PREPROCESS, batch_size=1, device="cpu", labelled=True)
    made = Batches(some(9), PREPROCESS, batch_size=4, device="cpu", labelled=True)
    for start in (3, -4):
        with pytest.raises(ConfigError, match=f"batches of 4 images start at multiples of that; got {start}"):
            made.between(start, 9)
    with pytest.raises(ConfigError, match="at least 1 image is needed"):
        made.first(0)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 20), size=st.integers(1, 8), data=st.data())
def test_parts_are_cut_like_the_whole(count: int, size: int, data: st.DataObject) -> None:
    made = Batches(some(count), PREPROCESS, batch_size=size, device="cpu", labelled=True)
    whole = list(made)
    start = size * data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(0, count + 3))
    part = list(made.between(start, stop))
    assert [label for _, labels in part for label in labels.tolist()] == list(range(start, min(stop, count)))
    for (inputs, labels), (all_inputs, all_labels) in zip(part, whole[start // size :], strict=False):
        assert torch.equal(inputs, all_inputs[: len(inputs)])
        assert torch.equal(labels, all_labels[: len(inputs)])
    assert all(len(inputs) == size for inputs, _ in part[:-1])


def test_a_part_is_one_batch_whatever_the_batch_size() -> None:
    made = Batches(some(10), PREPROCESS, batch_size=4, device="cpu", labelled=True)
    inputs, labels = made.part(3, 9)
    assert labels.tolist() == [3, 4, 5, 6, 7, 8]
    assert torch.equal(inputs, torch.cat([batch for batch, _ in made])[3:9])


def test_the_first_images_share_the_pixels_of_all() -> None:
    made = Batches(some(10), PREPROCESS, batch_size=4, device="cpu", labelled=True)
    first = made.first(6)
    assert [labels.tolist() for _, labels in first] == [[0, 1, 2, 3], [4, 5]]
    assert (len(first), len(made), len(made.first(99))) == (2, 3, 3)
    assert first.pixels.data_ptr() == made.pixels.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_type_asked_for_channels_last(dtype: torch.dtype) -> None:
    made = Batches(some(5), PREPROCESS, batch_size=4, device="cpu", labelled=False, dtype=dtype)
    plain = Batches(some(5), PREPROCESS, batch_size=4, device="cpu", labelled=False)
    for inputs, exact in zip(made, plain, strict=True):
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(inputs, exact.to(dtype))


def test_a_stored_set_is_used_where_it_lies(tmp_path: Path) -> None:
    pictures = Pictures([coded(noise(5, 4, seed)) for seed in range(7)])
    images = decode_to(tmp_path / "pixels.npy", pictures, None, PREPROCESS)
    made = Batches(images, PREPROCESS, batch_size=3, device="cpu", labelled=False)
    assert made.pixels.data_ptr() == images.pixels.data_ptr()
    expected = np.stack([np.asarray(noise(5, 4, seed)) for seed in range(7)]).transpose(0, 3, 1, 2) / 255
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (PREPROCESS.mean, PREPROCESS.std))
    np.testing.assert_allclose(torch.cat(list(made)).numpy(), (expected - mean) / std, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("free", "resident"), [(4 * 9 * 60, True), (4 * 9 * 60 - 4, False)])
def test_images_too_many_for_the_device_are_copied_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch, free: int, resident: bool
) -> None:
    # A device that is not the images' own, on every machine.
    monkeypatch.setattr(residence, "_free_bytes", lambda device: free)
    made = Batches(some(9), PREPROCESS, batch_size=4, device="meta", labelled=True)
    assert made.pixels.device.type == ("meta" if resident else "cpu")
    for inputs, labels in made:
        assert inputs.device == labels.device == made.device == torch.device("meta")
        assert inputs.shape == (len(labels), 3, 5, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("free", [0, float("inf")])
def test_a_gpu_gets_the_same_batches_resident_or_copied(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(residence, "_free_bytes", lambda device: free)
    here, there = (Batches(some(9), PREPROCESS, batch_size=4, device=kind, labelled=True) for kind in ("cpu", "cuda"))
    assert there.pixels.is_cuda == (free > 0)
    for (inputs, labels), (expected, expected_labels) in zip(there, here, strict=True):
        torch.testing.assert_close(inputs.cpu(), expected, rtol=0, atol=1e-6)
        assert torch.equal(labels.cpu(), expected_labels)
