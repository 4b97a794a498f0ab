import pytest
import torch

from eagleeye.data import Preprocess
from eagleeye.errors import DataError
from eagleeye.train import DecodedData, Recipe, StreamedData, open_training
from tests.eagleeye.train.epochs import collect, same


def test_only_the_training_rows_are_shown(squares, preprocess):
    rows = [5, 9, 11, 40]
    data = open_training(squares, rows, preprocess, Recipe(epochs=1, augment="none"), device="cpu")
    (x, y), *rest = collect(data, Recipe(epochs=1, augment="none"))
    assert not rest
    assert sorted(y.tolist()) == sorted(squares.labels[rows].tolist())
    mean = squares.pictures[rows].mean() / 255
    std, offset = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.std, preprocess.mean))
    assert float((x * std + offset).mean()) == pytest.approx(mean, abs=1e-5)


def test_the_memory_limit_decides_between_decoded_and_streamed(squares, preprocess):
    recipe, needed = Recipe(epochs=1), 64 * 3 * 16 * 16
    at, below = (
        open_training(squares, range(64), preprocess, recipe, device="cpu", decoded_limit_bytes=limit)
        for limit in (needed, needed - 1)
    )
    assert isinstance(at, DecodedData)
    assert isinstance(below, StreamedData)


def test_random_crops_are_always_cut_from_the_original_pictures(squares):
    recipe = Recipe(epochs=1, augment="resized_crop")
    assert isinstance(open_training(squares, range(64), Preprocess(size=8), recipe, device="cpu"), StreamedData)


def test_no_training_images_is_an_error(squares, preprocess):
    with pytest.raises(DataError, match="no training image is left"):
        open_training(squares, [], preprocess, Recipe(epochs=1), device="cpu")


def test_decoded_images_are_stored_once_and_found_again(tmp_path, squares, preprocess, monkeypatch):
    recipe, rows, path = Recipe(epochs=1, batch_size=24), [*range(40, 64), *range(7)], tmp_path / "train.npy"
    plain = open_training(squares, rows, preprocess, recipe, device="cpu")
    stored = open_training(squares, rows, preprocess, recipe, device="cpu", store=path)
    assert same(collect(stored, recipe, 1), collect(plain, recipe, 1))
    reads, encoded = [], squares.encoded
    monkeypatch.setattr(squares, "encoded", lambda row: reads.append(row) or encoded(row))
    again = open_training(squares, rows, preprocess, recipe, device="cpu", store=path)
    assert same(collect(again, recipe, 1), collect(plain, recipe, 1))
    assert set(reads) <= {40}
