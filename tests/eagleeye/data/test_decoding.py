"""Decoding: against Pillow one by one, and every way in which an image can be wrong."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eagleeye.data import Preprocess, decode, encodings, open_source, write_subset
from eagleeye.errors import DataError
from tests.eagleeye.data.memory import Pictures, coded, noise


def test_pixels_and_labels_come_in_the_order_of_the_rows() -> None:
    pictures = [noise(5, 4, seed) for seed in range(300)]
    images = Pictures([coded(picture) for picture in pictures], [seed % 2 for seed in range(300)])
    rows = np.random.default_rng(1).permutation(300)[:280]
    found = decode(images, rows, Preprocess())
    assert found.pixels.dtype == torch.uint8
    assert found.labels.dtype == torch.int64
    assert len(found) == 280
    expected = np.stack([np.asarray(pictures[row]) for row in rows])
    assert np.array_equal(found.pixels.permute(0, 2, 3, 1).numpy(), expected)
    assert found.labels.tolist() == [int(row) % 2 for row in rows]


def test_all_rows_and_repeated_rows() -> None:
    images = Pictures([coded(noise(4, 4, seed)) for seed in range(3)])
    whole = decode(images, None, Preprocess()).pixels
    assert torch.equal(decode(images, [2, 0, 2], Preprocess()).pixels, whole[[2, 0, 2]])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_three_channels(mode: str) -> None:
    picture = noise(6, 6, mode=mode)
    found = decode(Pictures([coded(picture, "TIFF")]), None, Preprocess())
    assert np.array_equal(found.pixels[0].permute(1, 2, 0).numpy(), np.asarray(picture.convert("RGB")))


def test_sixteen_bits_are_refused_rather_than_cut_off() -> None:
    wide = Image.fromarray(np.full((4, 4), 4096, dtype=np.uint16))
    with pytest.raises(DataError, match=r"row 0 cannot be decoded.*8 bits"):
        decode(Pictures([coded(wide)]), None, Preprocess())


def test_square_images_are_scaled_like_pillow_does() -> None:
    picture = noise(8, 8)
    found = decode(Pictures([coded(picture)]), None, Preprocess(size=20)).pixels[0]
    expected = np.asarray(picture.resize((20, 20), Image.Resampling.BILINEAR))
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(width=st.integers(3, 40), height=st.integers(3, 40), resize=st.integers(2, 30), part=st.floats(0.1, 1))
def test_short_side_then_centre_crop(width: int, height: int, resize: int, part: float) -> None:
    size = max(1, int(part * resize))
    picture = noise(width, height)
    found = decode(Pictures([coded(picture)]), None, Preprocess(size=size, resize=resize)).pixels[0]
    scale = resize / min(width, height)
    sides = (resize, int(height * resize / width)) if width <= height else (int(width * resize / height), resize)
    assert max(abs(sides[0] - width * scale), abs(sides[1] - height * scale)) <= 1
    scaled = np.asarray(picture.resize(sides, Image.Resampling.BILINEAR))
    top, left = round((sides[1] - size) / 2.0), round((sides[0] - size) / 2.0)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), scaled[top : top + size, left : left + size])


def test_different_sizes_name_the_first_row_that_differs() -> None:
    images = Pictures([coded(noise(8, 8))] * 5 + [coded(noise(9, 8))] + [coded(noise(7, 8))] * 200)
    with pytest.raises(DataError, match=r"row 5 is 9x8 pixels, but row 0 is 8x8: set size"):
        decode(images, None, Preprocess())
    assert decode(images, None, Preprocess(size=6, resize=6)).pixels.shape == (206, 3, 6, 6)


def test_images_that_are_not_square_ask_for_resize() -> None:
    with pytest.raises(DataError, match=r"row 1 is 9x8 pixels, not square: set resize"):
        decode(Pictures([coded(noise(8, 8)), coded(noise(9, 8))]), None, Preprocess(size=8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_corrupt_image_names_its_row(kind: str, damage: str) -> None:
    good = coded(noise(16, 16), kind)
    bad = {"cut": good[: len(good) // 2], "garbage": b"\x00garbage" * 9, "empty": b""}[damage]
    with pytest.raises(DataError, match=r"^row 7 cannot be decoded") as caught:
        decode(Pictures([good] * 7 + [bad] + [good] * 300), None, Preprocess())
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_escapes_as_another_exception(data: st.DataObject) -> None:
    good = bytearray(coded(noise(6, 6), data.draw(st.sampled_from(["PNG", "JPEG", "BMP"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(Pictures([bytes(good)]), None, Preprocess()).pixels.shape[:2] == (1, 3)
    except DataError as error:
        assert "row 0" in str(error)


def test_whatever_a_set_of_ones_own_raises_names_the_row(tmp_path: Path) -> None:
    class Unplugged(Pictures):
        def encoded(self, row: int) -> bytes:
            if row == 2:
                raise OSError("camera\nunplugged")
            return super().encoded(row)

    images = Unplugged([coded(noise(4, 4))] * 5)
    with pytest.raises(DataError, match=r"^row 2 cannot be read: OSError: camera unplugged$"):
        decode(images, None, Preprocess())
    with pytest.raises(DataError, match=r"^row 2 cannot be read: OSError: camera unplugged$"):
        write_subset(tmp_path / "subset.parquet", images, [0, 2])
    assert not list(tmp_path.iterdir())


def test_an_origin_appears_in_the_message() -> None:
    images = Pictures([b"nothing"])
    images.origin = lambda row: f"cats/{row}.png"
    with pytest.raises(DataError, match=r"row 0 \(cats/0\.png\)"):
        decode(images, None, Preprocess())


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_outside_of_the_set(row: int) -> None:
    with pytest.raises(DataError, match=f"row {row} does not exist: the set has 3 images"):
        decode(Pictures([coded(noise(4, 4))] * 3), [0, row], Preprocess())


def sheet(width: int, height: int) -> bytes:
    return coded(Image.new("1", (width, height)))


@pytest.mark.parametrize(("width", "height"), [(60, 60), (300, 300)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    # Pillow itself warns of the first, and refuses the second.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3_000)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"^row 1 is too large: .*pixels.*; make it smaller, or raise PIL"):
        decode(Pictures([sheet(width, height)] * 2), [1], Preprocess())


def test_a_strip_that_would_become_gigantic_is_refused() -> None:
    with pytest.raises(DataError, match=r"^row 0 is too long, resized to 256: 5120000x256 pixels, at most [\d,]+ are"):
        decode(Pictures([sheet(20_000, 1)]), None, Preprocess(size=224, resize=256))


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_LARGE", 20)
    running, most, convert = 0, 0, Image.Image.convert

    def watched(self: Image.Image, mode: str) -> Image.Image:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1
        return convert(self, mode)

    monkeypatch.setattr(Image.Image, "convert", watched)
    images = Pictures([coded(noise(5, 5, seed)) for seed in range(200)])
    assert decode(images, None, Preprocess()).pixels.shape == (200, 3, 5, 5)
    assert most == 1


def test_a_stand_in_is_named() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(DataError, match=r"^row 1 is a git-lfs pointer instead of the file: fetch it by `git lfs pull`"):
        decode(Pictures([coded(noise(4, 4)), pointer]), None, Preprocess())


def test_nothing_to_decode() -> None:
    with pytest.raises(DataError, match="no images"):
        decode(Pictures([coded(noise(4, 4))]), [], Preprocess())


def test_five_thousand_real_images_take_seconds(shared_data: Path) -> None:
    path = str(shared_data / "cifar10" / "test-*.parquet")
    images, _ = open_source("parquet", train=path, test=path)
    start = time.perf_counter()
    found = decode(images, range(2000, 7000), Preprocess())
    # About 0.8 s on two idle cores.
    assert time.perf_counter() - start < 10
    row = Image.open(io.BytesIO(images.encoded(4321))).convert("RGB")
    assert np.array_equal(found.pixels[2321].permute(1, 2, 0).numpy(), np.asarray(row))
