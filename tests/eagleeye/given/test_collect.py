"""Images in every form that people have them: the same images and labels come out, or a line says why not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional

from eagleeye.data import Images, Preprocess
from eagleeye.errors import ConfigError, DataError, EagleEyeError
from eagleeye.given import collect

SHAPE = Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3)
X = torch.rand(10, 3, 6, 5, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 3, 4, 4, 3, 2, 1, 0])


class Own(Dataset[Any]):
    """Says nothing of its labels but in its items."""

    def __init__(self, labels: bool = True) -> None:
        self.labelled = labels

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int) -> Any:
        return (X[row], int(Y[row])) if self.labelled else X[row]


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(X)


FORMS = {
    "pair": (X, Y),
    "list of labels": (X, Y.tolist()),
    "arrays": (X.numpy(), Y.numpy()),
    "tensors": TensorDataset(X, Y),
    "own": Own(),
    "list": [(image, int(label)) for image, label in zip(X, Y, strict=True)],
    "joined": ConcatDataset([Subset(TensorDataset(X, Y), range(4)), Subset(Own(), range(4, 10))]),
    "loader": DataLoader(TensorDataset(X, Y), batch_size=3),
    "shuffling": DataLoader(Own(), batch_size=4, shuffle=True, drop_last=True),
    "working": DataLoader(Own(), num_workers=1),
    "weighted": DataLoader(Own(), sampler=WeightedRandomSampler([1.0] * 10, 4)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_images_and_labels_are_those_that_were_given(form: str) -> None:
    before = torch.get_rng_state()
    found = collect(FORMS[form])
    rows = np.array([7, 0, 3])
    read = found.read(rows)
    assert len(found) == 10
    assert found.labels is not None
    assert found.labels.tolist() == Y.tolist()
    assert torch.equal(read.pixels, X[rows])
    assert read.labels.tolist() == Y[rows].tolist()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("images", [X, X.numpy(), Own(labels=False), TensorDataset(X), DataLoader(Own(False))])
def test_images_alone_have_no_labels(images: Any) -> None:
    found = collect(images)
    assert found.labels is None
    assert torch.equal(found.read(np.arange(10)).pixels, X)


@given(st.sets(st.integers(0, 9), min_size=1))
def test_a_loader_of_some_images_gives_no_others(rows: set[int]) -> None:
    found = collect(DataLoader(Own(), sampler=SubsetRandomSampler(list(rows))))
    assert torch.equal(found.read(np.arange(len(found))).pixels, X[sorted(rows)])
    assert found.labels is not None
    assert found.labels.tolist() == Y[sorted(rows)].tolist()


def test_labels_on_a_list_are_believed_only_if_items_agree() -> None:
    class Wrong(Own):
        targets = (Y + 1).tolist()

    found = collect(Wrong())
    assert found.labels is not None
    assert found.labels.tolist() == Y.tolist()


def test_random_transforms_draw_the_same_every_time_and_nothing_of_the_users() -> None:
    class Noisy(Own):
        def __getitem__(self, row: int) -> Any:
            return X[row] + torch.rand(()), int(Y[row])

    before = torch.get_rng_state()
    first = collect(Noisy()).read(np.arange(5)).pixels
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert torch.equal(collect(Noisy()).read(np.arange(5)).pixels, first)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for row, label in enumerate(Y.tolist()):
        (tmp_path / f"class{label}").mkdir(exist_ok=True)
        pixels = (X[row] * 255).to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"class{label}" / f"{row:02}.png")
    return tmp_path


def test_a_folder_and_a_data_set_of_its_pictures(folder: Path) -> None:
    reference = ImageFolder(str(folder))
    expected = torch.stack([functional.pil_to_tensor(picture) for picture, _ in reference])
    for images in (folder, str(folder), reference):
        found = collect(images, SHAPE)
        assert found.labels is not None
        assert found.labels.tolist() == reference.targets
        assert torch.equal(found.read(np.arange(10)).pixels, expected)
        assert found.preprocess == SHAPE


def test_a_folder_without_classes_has_no_labels(folder: Path) -> None:
    found = collect(folder / "class0", SHAPE)
    assert (len(found), found.labels) == (2, None)


def test_bytes_keep_their_preprocess() -> None:
    pixels = (X * 255).to(torch.uint8)
    found = collect(Images(pixels, Y), SHAPE)
    assert torch.equal(found.read(np.arange(10)).pixels, pixels)
    assert found.preprocess == SHAPE


def broken(row: int) -> Dataset[Any]:
    x = X.clone()
    x[row, 0, 0, 0] = float("nan")
    return TensorDataset(x, Y)


WRONG = [
    (Stream(), "a Stream gives images one after another"),
    (DataLoader(Stream()), "a Stream gives images one after another"),
    (iter([X]), "one after another"),
    (DataLoader(Own(), batch_sampler=[[0, 1], [2]]), "the loader's list chooses images in a way of its own"),
    ({"x": X}, "a dict given; needed is a DataLoader"),
    (3, "a int given; needed is a DataLoader"),
    (X[:0], r"needed is \(images, channels, h, w\)"),
    (Y, r"a tensor of shape \(10,\)"),
    ([], "the data set is empty"),
    ((X, Y[:9]), "10 images, but 9 labels"),
    ((X, Y - 1), "image 0 has label -1; classes are counted from 0"),
    (TensorDataset(X, Y.float() + 0.5), r"the label of item 0 is tensor\(0.5000\); needed is one whole number"),
    ((X * 255).to(torch.uint8), "uint8 pixels are given, and how the network wants them is not known; .*preprocess="),
    ((X * 255).long(), "int64 tensors given; needed are floating-point inputs, or uint8 pixels"),
    (broken(7), "image 7 holds NaN or infinite values"),
    ([X[0], X[1][:, :3]], r"image 1 has shape|reading items 0 to 1 of the data set failed"),
    ([X, X], "a list of batches given; join them with torch.cat"),
    ([{"image": X[0]}], "item 0 holds a dict"),
    ([(X[0], 0, 1)], "item 0 has 3 entries"),
    ("nowhere", "nowhere is not a folder"),
]


@pytest.mark.parametrize(("images", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_what_cannot_be_used_is_refused_in_a_line(images: Any, said: str) -> None:
    with pytest.raises(EagleEyeError, match=said) as caught:
        found = collect(images)
        found.read(np.arange(len(found)))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        collect(tmp_path, SHAPE)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="class 'cat' is empty"):
        collect(tmp_path, SHAPE)


def test_inputs_that_are_ready_take_no_preprocess(folder: Path) -> None:
    with pytest.raises(ConfigError, match="inputs that are ready for the network and cannot be"):
        collect(X, SHAPE)
    with pytest.raises(ConfigError, match="how the network wants them is not known"):
        collect(folder)
    with pytest.raises(ConfigError, match=r"tensors of 5x6 pixels given, but preprocess\.size is 8"):
        collect((X * 255).to(torch.uint8), Preprocess(size=8))
