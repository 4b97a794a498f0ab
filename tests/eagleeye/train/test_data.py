import pytest
import torch

from eagleeye.data import Batches, Images, decode_to, residence
from eagleeye.errors import ConfigError
from eagleeye.train import DecodedData, Recipe
from eagleeye.train.distributed import Share
from tests.eagleeye.train.epochs import collect, same


def test_an_epoch_shows_every_image_once_with_its_own_label(images, preprocess):
    data = DecodedData(images, preprocess, "cpu")
    seen = collect(data, Recipe(epochs=1, batch_size=10, augment="none"))
    pixels = torch.cat([x for x, _ in seen])
    labels = torch.cat([y for _, y in seen])
    plain = next(iter(Batches(images, preprocess, batch_size=64, device="cpu", labelled=True)))
    order = [int((plain[0] == x).flatten(1).all(1).nonzero()) for x in pixels]
    assert sorted(order) == list(range(64))
    assert order != sorted(order)
    assert torch.equal(labels, plain[1][order])


@pytest.mark.parametrize("augment", ["none", "shift_flip"])
def test_the_shares_of_all_processes_make_up_the_batches_of_one(images, preprocess, augment):
    data, recipe = DecodedData(images, preprocess, "cpu"), Recipe(epochs=1, batch_size=20, augment=augment)
    whole = collect(data, recipe)
    shares = [collect(data, recipe, share=Share(rank, 2)) for rank in (0, 1)]
    for (x, y), (x0, y0), (x1, y1) in zip(whole, *shares, strict=True):
        assert torch.equal(x[0::2], x0)
        assert torch.equal(x[1::2], x1)
        assert torch.equal(torch.stack([y0, y1], 1).flatten(), y)


@pytest.mark.parametrize("layout", ["in a file", "channels first"])
def test_the_same_batches_however_the_pixels_lie(tmp_path, squares, images, preprocess, layout):
    other = Images(images.pixels.contiguous(), images.labels)
    other = decode_to(tmp_path / "pixels.npy", squares, None, preprocess) if layout == "in a file" else other
    recipe = Recipe(epochs=2, batch_size=24, augment="shift_flip")
    found, expected = (collect(DecodedData(kind, preprocess, "cpu"), recipe, 1) for kind in (other, images))
    assert same(found, expected)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in found)


def test_random_crops_need_the_original_pictures(images, preprocess):
    with pytest.raises(ConfigError, match="use StreamedData"):
        collect(DecodedData(images, preprocess, "cpu"), Recipe(epochs=1, augment="resized_crop"))


@pytest.mark.parametrize("free", [0, 10**9])
def test_images_too_many_for_the_device_are_moved_batch_by_batch(images, preprocess, monkeypatch, free):
    # A device that is not the images' own, on every machine.
    monkeypatch.setattr(residence, "_free_bytes", lambda device: free)
    data = DecodedData(images, preprocess, "meta")
    assert data.pixels.device.type == ("meta" if free else "cpu")
    for x, y in data.batches(Recipe(epochs=1, batch_size=24), 0, Share()):
        assert x.device.type == y.device.type == "meta"
        assert x.shape == (len(y), 3, 16, 16)
