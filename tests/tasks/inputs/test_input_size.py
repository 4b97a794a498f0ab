"""The network's input against the images' size: what is refused, what is told, what is right."""

from pathlib import Path

import numpy as np
import pytest

from eagleeye.errors import ConfigError
from tasks.inputs.images import settled
from tasks.inputs.input_size import check_input_size
from tasks.settings import preview
from tests.eagleeye.data.memory import Pictures, coded, noise
from tests.tasks.conftest import ROOT, Recorder


def check(images: tuple[int, int], path: Path = ROOT / "params.yaml", **preprocess: object) -> Recorder:
    confirmed = preprocess.pop("confirmed", False)
    values = {f"data.preprocess.{name}": value for name, value in preprocess.items()}
    params, context = preview(path, values | {"data.confirmed": confirmed}), Recorder()
    # Most are of one size; a damaged one is left to decoding.
    pictures = Pictures([coded(noise(*images))] * 9 + [coded(noise(9, 5)), b"nothing"])
    check_input_size(params, settled(params), pictures, np.arange(11), context)
    return context


def test_the_preprocessing_of_the_digits_is_refused_for_larger_images() -> None:
    with pytest.raises(ConfigError, match=r"inputs of 16 pixels from images of 48 .*data\.confirmed to true if it is"):
        check((64, 48), size=16)
    with pytest.raises(ConfigError, match="inputs of 20 pixels from images of 64"):
        check((64, 64), size=16, resize=20)


def test_whoever_confirms_it_or_is_near_goes_on() -> None:
    assert check((64, 48), size=16, confirmed=True).warned == []
    assert "inputs of 16 pixels from images of 32" in check((32, 32), size=16).warned[0]


@pytest.mark.parametrize(
    ("images", "preprocess"),
    [
        ((8, 8), {"size": 16}),
        ((28, 28), {"size": 16}),
        ((32, 32), {"size": None}),
        ((32, 32), {"size": 32}),
        ((40, 40), {"size": 32}),
        ((500, 375), {"size": 224, "resize": 256}),
        ((700, 700), {"size": 64, "resize": 64}),
    ],
)
def test_usual_sizes_are_right(images: tuple[int, int], preprocess: dict[str, object]) -> None:
    assert check(images, **preprocess).warned == []


@pytest.mark.parametrize(
    "recipe", sorted({*ROOT.glob("recipes/*.yaml")} - {ROOT / "recipes/own-images.yaml"}), ids=lambda path: path.stem
)
def test_recipes_fit_their_images(recipe: Path) -> None:
    assert check((500, 375) if "imagenet" in recipe.stem else (32, 32), recipe).warned == []
