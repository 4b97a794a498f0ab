"""What safetensors files tell about the images and the accuracy of their network."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

import eagleeye
from eagleeye.data import Preprocess
from eagleeye.errors import CheckpointError
from eagleeye.models import build
from eagleeye.models.metadata import accuracy_told, preprocess_told, read_texts

SHAPE = {"size": 32, "resize": None, "mean": [0.5, 0.25, 0.125], "std": [1.0, 2.0, 3.0]}
WANTED = Preprocess(32, None, (0.5, 0.25, 0.125), (1.0, 2.0, 3.0))


def saved(path: Path, **texts: str) -> dict[str, str]:
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path, texts)
    return read_texts(path)


def test_a_users_own_file_tells_by_one_text_or_by_several(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"  # its name does not matter
    assert preprocess_told(saved(path, preprocess=json.dumps(SHAPE), format="pt"), path) == WANTED
    several = {name: json.dumps(value) for name, value in SHAPE.items() if value is not None}
    assert preprocess_told(saved(path, **several), path) == WANTED
    grey = preprocess_told(saved(path, size="28", mean="0.13", std="0.31"), path)
    assert grey == Preprocess(28, None, (0.13,), (0.31,))


def test_what_eagleeye_saves_tells(tmp_path: Path) -> None:
    network = build("cifar_resnet20", num_classes=4)
    space = eagleeye.trace(network, torch.zeros(1, 3, 16, 16))
    path = tmp_path / "pruned.safetensors"
    texts = {"preprocess": json.dumps(SHAPE), "test_accuracy": "0.875", "id": "s0001"}
    eagleeye.save(eagleeye.prune(network, space, [0.5] * len(space.groups)), path, texts)
    assert preprocess_told(read_texts(path), path) == WANTED
    assert accuracy_told(read_texts(path)) == 0.875


def test_files_that_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    assert preprocess_told(saved(path, format="pt", mean="0.5"), path) is None
    torch.save({"weight": torch.zeros(2)}, path)
    assert read_texts(path) == {}
    with pytest.raises(CheckpointError, match="does not exist"):
        read_texts(tmp_path / "absent")


@pytest.mark.parametrize(
    "texts",
    [
        {"preprocess": "as usual"},
        {"preprocess": json.dumps({"size": 32})},
        {"preprocess": json.dumps(SHAPE | {"std": [0, 1, 1]})},
        {"preprocess": json.dumps(SHAPE | {"size": "32"})},
        {"size": "32", "mean": "[0.5]", "std": "[0.5, 0.5]"},
    ],
)
def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path, texts: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match=r"mine: size, resize, mean and std of its metadata cannot be") as caught:
        preprocess_told(saved(tmp_path / "mine", **texts), "mine")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "accuracy"),
    [
        ({"accuracy": "0.9"}, 0.9),
        ({"test_accuracy": "91.5"}, 0.915),
        ({"sub_validation_accuracy": "0.5", "test_accuracy": "0.75"}, 0.75),
        ({"accuracy": "high", "validation_accuracy": "0.25"}, 0.25),
        ({"accuracy": "NaN"}, None),
        ({"accuracy": "-1"}, None),
        ({"accuracy": "true"}, None),
        ({}, None),
    ],
)
def test_accuracies(texts: dict[str, str], accuracy: float | None) -> None:
    assert accuracy_told(texts) == accuracy
