"""Encoded images become pictures of the wanted number of channels: against Pillow and NumPy."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from eagleeye.data import Batches, Preprocess, decode, decode_to, open_source
from eagleeye.data.encodings import encoded
from eagleeye.data.pictures import open_pictures
from eagleeye.errors import DataError
from tests.eagleeye.data.memory import Pictures, coded, noise


def described(channels: int, **settings: int) -> Preprocess:
    return Preprocess(mean=(0.5,) * channels, std=(0.2,) * channels, **settings)


def array(channels: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
@pytest.mark.parametrize(("channels", "wanted"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pictures_of_every_mode_as_pillow_converts_them(mode: str, channels: int, wanted: str) -> None:
    picture = noise(6, 5).convert("RGBA").convert(mode) if mode in ("LA", "RGBA") else noise(6, 5, mode=mode)
    found = decode(Pictures([coded(picture, "TIFF")]), None, described(channels)).pixels
    expected = np.asarray(picture.convert(wanted)).reshape(5, 6, channels)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("channels", [1, 3, 5, 12])
def test_arrays_of_any_number_of_channels(channels: int) -> None:
    pixels = array(channels)
    images = Pictures([encoded(pixels)])
    assert np.array_equal(decode(images, None, described(channels)).pixels[0].permute(1, 2, 0).numpy(), pixels)
    smaller = decode(images, None, described(channels, size=3)).pixels
    expected = functional.resize(torch.from_numpy(pixels).permute(2, 0, 1), [3, 3], antialias=True)
    assert torch.equal(smaller[0], expected)


def test_wide_arrays_need_a_crop_like_pictures() -> None:
    images = Pictures([encoded(array(5, height=4, width=8))])
    with pytest.raises(DataError, match="is 8x4 pixels, not square: set resize"):
        decode(images, None, described(5, size=4))
    assert decode(images, None, described(5, size=4, resize=4)).pixels.shape == (1, 5, 4, 4)


@pytest.mark.parametrize(
    ("file", "channels", "message"),
    [
        (coded(noise(4, 4)), 5, "a picture of mode RGB has no 5 channels"),
        (encoded(array(5)), 3, "an array of 5 channels, but mean and std have 3 values"),
        (encoded(array(5)[:, :, 0]), 1, r"an array of uint8 \(6, 6\); needed is uint8"),
        (encoded(array(5).astype(np.uint16)), 5, "an array of uint16"),
        (encoded(array(5))[:-9], 5, "cannot be decoded"),
    ],
)
def test_what_does_not_fit_is_named_by_its_row(file: bytes, channels: int, message: str) -> None:
    with pytest.raises(DataError, match=rf"row 0 cannot be decoded.*{message}|row 0 {message}"):
        decode(Pictures([file]), None, described(channels))


def test_arrays_go_the_whole_way_from_a_data_set_to_batches(tmp_path) -> None:
    pixels = [array(5) // (row + 1) for row in range(4)]
    train, _ = open_pictures(dataset := [(each, row % 2) for row, each in enumerate(pixels)], dataset, "mine:data")
    shape = described(5)
    images = decode_to(tmp_path / "some.npy", train, None, shape)
    assert torch.equal(images.pixels, decode(train, None, shape).pixels)
    batch = next(iter(Batches(images, shape, batch_size=4, device="cpu", labelled=False)))
    expected = (np.stack(pixels).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.2
    np.testing.assert_allclose(batch.numpy(), expected, rtol=0, atol=2e-6)


def test_grey_digits_have_one_channel() -> None:
    train, _ = open_source("digits")
    grey = decode(train, [0, 1], described(1)).pixels
    assert torch.equal(grey.expand(2, 3, 8, 8), decode(train, [0, 1], described(3)).pixels)
