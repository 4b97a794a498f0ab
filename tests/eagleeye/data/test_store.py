"""The decoded store: against decoding in memory, and every file that must not be taken for it."""

import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from eagleeye.data import Preprocess, decode, decode_to, store
from eagleeye.errors import ArtifactError, DataError
from tests.eagleeye.data.memory import Pictures, coded, noise


class Counted(Pictures):
    """Counts the images that are read."""

    reads = 0

    def encoded(self, row: int) -> bytes:
        self.reads += 1
        return super().encoded(row)


@pytest.fixture
def images() -> Counted:
    return Counted([coded(noise(6, 5, seed)) for seed in range(50)], [seed % 2 for seed in range(50)])


def test_the_file_holds_what_decoding_gives_in_the_order_of_the_rows(tmp_path: Path, images: Counted) -> None:
    rows = np.random.default_rng(0).permutation(50)[:40]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_to(tmp_path / "new" / "pixels.npy", images, rows, Preprocess())
    expected = decode(images, rows, Preprocess())
    assert found.pixels.shape == (40, 3, 5, 6)
    assert found.pixels.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.pixels, expected.pixels)
    assert torch.equal(found.labels, expected.labels)
    # For others, too, without this library.
    stored = np.load(tmp_path / "new" / "pixels.npy")
    assert np.array_equal(stored, expected.pixels.permute(0, 2, 3, 1).numpy())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pixels.npy"]


def test_images_are_decoded_once(tmp_path: Path, images: Counted) -> None:
    first = decode_to(tmp_path / "pixels.npy", images, None, Preprocess())
    assert images.reads == 50
    again = decode_to(tmp_path / "pixels.npy", images, None, Preprocess())
    assert images.reads == 50
    assert torch.equal(first.pixels, again.pixels)
    assert again.labels.tolist() == [seed % 2 for seed in range(50)]


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"nothing",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': (((" + 90 * b" ",
        np.zeros((50, 5, 5, 3), np.int8),
        np.zeros((49, 5, 5, 3), np.uint8),
        np.zeros((50, 5, 6, 3), np.uint8),
        np.zeros((50, 5, 5, 1), np.uint8),
        np.zeros((50, 5, 15), np.uint8),
        np.zeros((), np.uint8),
        np.asfortranarray(np.zeros((50, 5, 5, 3), np.uint8)),
        np.array([{}]),
    ],
)
def test_a_foreign_file_is_made_anew(tmp_path: Path, images: Counted, foreign: bytes | np.ndarray) -> None:
    path, shape = tmp_path / "pixels.npy", Preprocess(size=5, resize=5)
    if isinstance(foreign, bytes):
        path.write_bytes(foreign)
    else:
        np.save(path, foreign)
    assert torch.equal(decode_to(path, images, None, shape).pixels, decode(images, None, shape).pixels)


@pytest.mark.parametrize("change", [-1, -700, -4400, 1])
def test_a_torn_file_is_made_anew(tmp_path: Path, images: Counted, change: int) -> None:
    path = tmp_path / "pixels.npy"
    decode_to(path, images, None, Preprocess())
    whole = path.read_bytes()
    path.write_bytes(whole[:change] if change < 0 else whole + b"!")
    decode_to(path, images, None, Preprocess())
    assert path.read_bytes() == whole


@pytest.mark.parametrize("place", [128, 1000, -300, -1])
@pytest.mark.parametrize("change", ["zeros", "bit"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, images: Counted, place: int, change: str) -> None:
    path = tmp_path / "pixels.npy"
    expected = decode_to(path, images, None, Preprocess()).pixels.clone()
    whole = bytearray(path.read_bytes())
    if change == "bit":
        whole[place] ^= 4
    else:
        whole[128:] = bytes(len(whole) - 128)
    path.write_bytes(whole)
    images.reads = 0
    assert torch.equal(decode_to(path, images, None, Preprocess()).pixels, expected)
    assert images.reads == 50
    decode_to(path, images, None, Preprocess())
    assert images.reads == 50


def test_a_file_of_another_size_of_images_is_made_anew(tmp_path: Path, images: Counted) -> None:
    path = tmp_path / "pixels.npy"
    for shape in (Preprocess(size=4, resize=4), Preprocess(size=3, resize=4), Preprocess(resize=8)):
        assert torch.equal(decode_to(path, images, None, shape).pixels, decode(images, None, shape).pixels)


def test_a_damaged_image_leaves_no_file(tmp_path: Path, images: Counted) -> None:
    images.files[30] = b"nothing"
    with pytest.raises(DataError, match="row 30 cannot be decoded"):
        decode_to(tmp_path / "pixels.npy", images, None, Preprocess())
    with pytest.raises(DataError, match="no images"):
        decode_to(tmp_path / "pixels.npy", images, [], Preprocess())
    with pytest.raises(DataError, match="row 50 does not exist"):
        decode_to(tmp_path / "pixels.npy", images, [50], Preprocess())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_no_file(
    tmp_path: Path, images: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, former[1]))
    try:
        with pytest.raises(ArtifactError, match=r"cannot write .*pixels\.npy: File too large"):
            decode_to(tmp_path / "pixels.npy", images, None, Preprocess())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(store, "_opened", lambda *_: None)
    with pytest.raises(ArtifactError, match="cannot be read back"):
        decode_to(tmp_path / "pixels.npy", images, None, Preprocess())


def test_several_at_once_find_whole_files(tmp_path: Path, images: Counted) -> None:
    expected, found = decode(images, None, Preprocess()).pixels, []

    def work() -> None:
        found.append(decode_to(tmp_path / "pixels.npy", images, None, Preprocess()).pixels)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(torch.equal(pixels, expected) for pixels in found)


def test_the_set_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    images = Pictures([coded(noise(32, 32))] * 2000)
    tracemalloc.start()
    try:
        found = decode_to(tmp_path / "pixels.npy", images, None, Preprocess())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.pixels.nbytes == 2000 * 3 * 32 * 32
    assert peak < 0.4 * found.pixels.nbytes
