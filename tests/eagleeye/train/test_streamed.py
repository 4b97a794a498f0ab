import os
import subprocess
import sys

import psutil
import pytest
import torch

from eagleeye.data import Preprocess
from eagleeye.errors import ConfigError, DataError
from eagleeye.train import DecodedData, Recipe, StreamedData
from tests.eagleeye.train.epochs import collect, same


@pytest.mark.parametrize("augment", ["none", "shift", "shift_flip"])
def test_streamed_images_are_the_decoded_ones_bit_for_bit(squares, images, preprocess, augment):
    recipe = Recipe(epochs=1, batch_size=24, augment=augment, seed=3)
    decoded = DecodedData(images, preprocess, "cpu")
    streamed = StreamedData(squares, range(64), preprocess, "cpu", workers=0)
    assert same(collect(decoded, recipe, 1), collect(streamed, recipe, 1))


@pytest.mark.parametrize("augment", ["shift_flip", "resized_crop"])
def test_workers_do_not_change_what_is_seen(squares, augment):
    recipe = Recipe(epochs=1, batch_size=24, augment=augment)
    sized = Preprocess(size=12)
    alone, two = (StreamedData(squares, range(64), sized, "cpu", workers=count) for count in (0, 2))
    assert same(collect(alone, recipe), collect(two, recipe))


def test_a_random_crop_shows_parts_of_the_picture_and_other_parts_next_time(squares):
    data = StreamedData(squares, range(64), Preprocess(size=8), "cpu", workers=0)
    recipe = Recipe(epochs=2, batch_size=64, augment="resized_crop")
    first, again, later = (collect(data, recipe, epoch)[0][0] for epoch in (0, 0, 1))
    assert first.shape == (64, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_a_random_crop_leaves_the_callers_random_state_alone(squares):
    data = StreamedData(squares, range(64), Preprocess(size=8), "cpu", workers=0)
    before = torch.get_rng_state()
    collect(data, Recipe(epochs=2, batch_size=64, augment="resized_crop"))
    assert torch.equal(before, torch.get_rng_state())


def test_a_random_crop_without_a_size_is_refused(squares, preprocess):
    data = StreamedData(squares, range(64), preprocess, "cpu", workers=0)
    with pytest.raises(ConfigError, match="needs the size"):
        collect(data, Recipe(epochs=1, augment="resized_crop"))


class Damaged:
    """Images of which one is none."""

    def __init__(self, images):
        self.images, self.classes, self.labels = images, images.classes, images.labels

    def __len__(self):
        return len(self.images)

    def encoded(self, row):
        return b"not an image" if row == 7 else self.images.encoded(row)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_is_named_without_a_workers_traceback(squares, preprocess, workers):
    data = StreamedData(Damaged(squares), range(64), preprocess, "cpu", workers=workers)
    with pytest.raises(DataError, match=r"^[^\n]*row 7[^\n]*$"):
        collect(data, Recipe(epochs=1))


def test_processes_inherit_nothing_of_this_one(squares, preprocess, monkeypatch):
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked"))
    data = StreamedData(squares, range(64), preprocess, "cpu", workers=1)
    assert collect(data, Recipe(epochs=1))


@pytest.mark.slow
def test_processes_end_with_one_that_is_killed():
    code = """
import time
import torch
from eagleeye.data import Preprocess
from eagleeye.train import Recipe, StreamedData
from tests.eagleeye.train.conftest import Squares
data = StreamedData(Squares(64), range(64), Preprocess(size=None, resize=None), "cpu", workers=2)
batches = data._load(list(torch.arange(64).split(1)), Recipe(epochs=1), 0)
next(batches)
print("runs", flush=True)
time.sleep(100)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "runs\n"
    helpers = psutil.Process(process.pid).children(recursive=True)
    assert len(helpers) >= 3
    process.kill()
    process.wait()
    assert psutil.wait_procs(helpers, timeout=30)[1] == []
