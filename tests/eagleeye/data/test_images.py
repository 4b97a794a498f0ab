"""What images are: settings out of range, labels out of range, sets that travel to other processes."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from eagleeye.data import ImageSet, Preprocess, open_source
from eagleeye.data.images import check_labels
from eagleeye.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"size": 0}, "size"),
        ({"size": 2.5}, "size"),
        ({"resize": True}, "resize"),
        ({"size": 9, "resize": 8}, "size 9 is larger than resize 8"),
        ({"mean": (0.5,)}, "mean has 1 values and std 3"),
        ({"mean": ()}, "mean must be finite numbers, one per channel"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean"),
        ({"std": (0.5, 0.0, 0.5)}, "std"),
    ],
)
def test_settings_out_of_range(arguments: dict, culprit: str) -> None:
    with pytest.raises(ConfigError, match=culprit):
        Preprocess(**arguments)


def test_settings_from_lists_are_hashable() -> None:
    assert hash(Preprocess(mean=[0.5, 0.5, 0.5])) == hash(Preprocess(mean=(0.5, 0.5, 0.5)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1, -1], "row 2 has label -1"), ([0, 3], "row 1 has label 3, allowed are 0 to 1"), ([0.5], "whole number")],
)
def test_labels_outside_of_the_classes(labels: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_labels(np.array(labels), ("cat", "dog"), "here")


def test_all_sources_are_image_sets_and_survive_pickle(shared_data: Path) -> None:
    cifar = str(shared_data / "cifar10" / "test-*.parquet")
    folder = str(shared_data / "imagenette-mini" / "val")
    for name, options in (
        ("digits", {}),
        ("parquet", {"train": cifar, "test": cifar}),
        ("imagefolder", {"train": folder, "test": folder}),
    ):
        train, _ = open_source(name, **options)
        assert isinstance(train, ImageSet)
        first = train.encoded(3)
        copy = pickle.loads(pickle.dumps(train))  # noqa: S301
        assert copy.encoded(3) == first
        assert len(copy) == len(copy.labels) == len(train)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_as_many_channels_as_means(channels: int) -> None:
    shape = Preprocess(mean=(0.5,) * channels, std=(0.2,) * channels)
    assert shape.channels == channels
    shape.check_pixels(torch.zeros(2, channels, 4, 4, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=f"{channels} values, but the images have {channels + 1} channels"):
        shape.check_pixels(torch.zeros(2, channels + 1, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("pixels", [torch.zeros(2, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)])
def test_pixels_are_bytes_of_many_images(pixels: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"pixels: .* given; needed are bytes"):
        Preprocess().check_pixels(pixels)
