"""Tell what kind of images a user has given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from eagleeye.data import Images, ImageSet, Preprocess
from eagleeye.data.folder import FolderImages, open_folder
from eagleeye.data.images import Labels
from eagleeye.data.listing import class_names, pictures_below
from eagleeye.data.pictures import PictureImages
from eagleeye.errors import ConfigError, DataError
from eagleeye.given.collection import Collection, Items, Pictures, Tensors
from eagleeye.given.labels import checked, labels_in, look_at, numbers
from eagleeye.given.listed import checked as checked_list
from eagleeye.given.listed import is_listed
from eagleeye.task import CLASSIFICATION, Task

_FORMS = "a DataLoader, a data set with len() and items, a folder of images, a tensor, or a pair (tensor, labels)"
_ALL = (SequentialSampler, RandomSampler, WeightedRandomSampler, DistributedSampler)
_NEEDS_SHAPE = (
    "they need preprocess: size, mean and std as the network was trained with, e.g."
    " preprocess=eagleeye.data.Preprocess(size=224, resize=256)"
)


class UnpreparedError(ConfigError):
    """Pictures or bytes, and nothing says how the network wants them."""


def collect(
    images: Any, preprocess: Preprocess | None = None, name: str = "images", task: Task = CLASSIFICATION
) -> Collection:
    """See images as a collection, whatever form they come in.

    Args:
        images: A DataLoader (its data set is used in the order of its items, whether it shuffles or not); a map-style
            data set of images, or of pairs (image, label), an image being a tensor as the network takes it, a PIL image
            or a uint8 array; a folder of images, with a sub-folder per class or none; a tensor or array of images; or a
            pair (tensor, labels). Labels are whole numbers, or what else the task's targets are: tensors of one size,
            or of detection a dict of tensors for each image.
        preprocess: How pictures and bytes become inputs.
        name: What to call them in errors.
        task: What the network is for.

    Returns:
        The collection; nothing but labels, and an item or two, has been read.

    Raises:
        ConfigError: Pictures or bytes without a preprocess, or inputs with one.
        DataError: They are of none of these forms, there are none, or their labels are no class numbers.
    """
    found = _collection(images, preprocess, name, task)
    if not len(found):
        raise DataError(f"{name}: there are none")
    if found.labels is not None:
        found.labels = checked(found.labels, len(found), name)
    return found


def is_pair_of_sets(images: Any) -> bool:
    """Whether what was given is (calibration, sub_validation), and not (tensor, labels)."""
    return isinstance(images, tuple | list) and len(images) == 2 and not _is_labelled(images)


def _is_labelled(images: Any) -> bool:
    if not _is_array(images[0]):
        return False
    # Two sets for one network hold inputs of one kind; what has other axes is not such a set.
    other_axes = _is_array(images[1]) and images[0].ndim != images[1].ndim
    return is_listed(images[1]) or numbers(images[1]) is not None or other_axes


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _collection(images: Any, preprocess: Preprocess | None, name: str, task: Task) -> Collection:
    if isinstance(images, Collection):
        return images
    if isinstance(images, str | Path):
        return _folder(Path(images).expanduser(), preprocess, task)
    if isinstance(images, Images):
        return _tensors(images.pixels, images.labels.cpu(), preprocess, name, task)
    if _is_array(images):
        return _tensors(images, None, preprocess, name, task)
    if isinstance(images, tuple | list) and len(images) == 2 and _is_labelled(images):
        return _tensors(images[0], images[1], preprocess, name, task)
    if isinstance(images, DataLoader):
        return _loader(images, preprocess, name, task)
    if isinstance(images, ImageSet):
        return Pictures(images, task.targets == "class", _shape(preprocess, "encoded images"))
    if isinstance(images, IterableDataset):
        raise DataError(_no_numbers(name, images))
    if hasattr(images, "__getitem__") and hasattr(images, "__len__") and not isinstance(images, Mapping | bytes):
        return _dataset(images, preprocess, name, task)
    if hasattr(images, "__iter__") and not isinstance(images, Mapping | bytes):
        raise DataError(_no_numbers(name, images))
    raise DataError(f"{name}: a {type(images).__name__} given; needed is {_FORMS}")


def _no_numbers(name: str, images: Any) -> str:
    return (
        f"{name}: a {type(images).__name__} gives images one after another, so that none can be found again: give"
        f" {_FORMS}, e.g. what torch.stack makes of some of its images"
    )


def _shape(preprocess: Preprocess | None, what: str) -> Preprocess:
    if preprocess is None:
        raise UnpreparedError(f"images: {what} are given, and how the network wants them is not known; {_NEEDS_SHAPE}")
    return preprocess


def _tensors(pixels: Any, targets: Any, preprocess: Preprocess | None, name: str, task: Task) -> Collection:
    tensor = torch.as_tensor(pixels)
    if tensor.dim() < 3 or not len(tensor):
        raise DataError(
            f"{name}: a tensor of shape {tuple(tensor.shape)} given; needed is (images, channels, h, w), and for"
            " labels whole numbers (images,)"
        )
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    shape = _fitting(tensor, preprocess, name)
    if targets is None or task.targets == "none":
        return Tensors(tensor, None, shape)
    if task.targets == "class":
        return Tensors(tensor, _class_numbers(targets, name), shape)
    if is_listed(targets) != task.listed:
        needed = "a list with a dict of tensors for each image" if task.listed else "a tensor with an entry for each"
        raise DataError(f"{name}: targets are a {type(targets).__name__}; {task.name} needs {needed}")
    targets = targets if task.listed else torch.as_tensor(targets)
    if len(targets) != len(tensor):
        raise DataError(f"{name}: {len(tensor)} images, but {len(targets)} targets; needed is one for each")
    return Tensors(tensor, None, shape, checked_list(targets, np.arange(len(tensor))) if task.listed else targets)


def _class_numbers(labels: Any, name: str) -> Labels:
    found = numbers(labels)
    if found is None:
        raise DataError(
            f"{name}: labels of shape {tuple(np.shape(labels))} given; needed is (images, channels, h, w), and for"
            " labels whole numbers (images,); others belong to other tasks than classification"
        )
    return found


def _fitting(images: Tensor, preprocess: Preprocess | None, name: str) -> Preprocess | None:
    """The preprocess, if there is one for bytes, and none for inputs that are ready."""
    kind = str(images.dtype).removeprefix("torch.")
    if images.is_floating_point():
        if preprocess is not None:
            raise ConfigError(
                f"{name}: they are {kind} tensors, inputs that are ready for the network and cannot be prepared again;"
                " leave preprocess out, or give uint8 pixels"
            )
        return None
    if images.dtype != torch.uint8:
        raise DataError(f"{name}: {kind} tensors given; needed are floating-point inputs, or uint8 pixels")
    shape = _shape(preprocess, f"{name}: uint8 pixels")
    sides = tuple(images.shape[-2:])
    if shape.size is not None and sides != (shape.size, shape.size):
        raise ConfigError(f"{name}: tensors of {sides[1]}x{sides[0]} pixels given, but preprocess.size is {shape.size}")
    return Preprocess(size=shape.size, mean=shape.mean, std=shape.std)


def _folder(folder: Path, preprocess: Preprocess | None, task: Task) -> Collection:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one of images, with a sub-folder per class or none")
    if class_names(folder):
        found = open_folder(folder)
        labelled = task.targets == "class"
    else:
        files, _ = pictures_below(folder.parent, folder.name, IMG_EXTENSIONS)
        if not files:
            raise DataError(f"{folder} holds no image ({', '.join(IMG_EXTENSIONS)}), and no sub-folder of images")
        found = FolderImages([(file, 0) for file in files], ("",))
        labelled = False
    return Pictures(found, labelled, _shape(preprocess, "files"))


def _loader(loader: DataLoader[Any], preprocess: Preprocess | None, name: str, task: Task) -> Collection:
    dataset = loader.dataset
    sampler = loader.sampler
    if isinstance(dataset, IterableDataset):
        raise DataError(_no_numbers(name, dataset))
    if isinstance(sampler, SubsetRandomSampler):
        dataset = torch.utils.data.Subset(dataset, sorted(map(int, sampler.indices)))
    elif not isinstance(sampler, _ALL) or type(loader.batch_sampler).__name__ not in ("BatchSampler", "NoneType"):
        kind = type(sampler if not isinstance(sampler, _ALL) else loader.batch_sampler).__name__
        raise DataError(
            f"{name}: the loader's {kind} chooses images in a way of its own: give the data set itself, or"
            " torch.utils.data.Subset(data set, the numbers of the images)"
        )
    return _dataset(dataset, preprocess, name, task, collate=loader.collate_fn, workers=loader.num_workers)


def _dataset(dataset: Any, preprocess: Preprocess | None, name: str, task: Task, **loading: Any) -> Collection:
    if not len(dataset):
        raise DataError(f"{name}: the data set is empty")
    image, target = look_at(dataset, 0, name)
    labels = labels_in(dataset, name) if target is not None and task.targets == "class" else None
    if isinstance(image, Image.Image | np.ndarray):
        return _pictures(dataset, labels, preprocess, name, task)
    if not isinstance(image, Tensor):
        raise DataError(f"{name}: item 0 holds a {type(image).__name__}; needed is an image or a pair (image, label)")
    if isinstance(dataset, list | tuple) and image.dim() > 3:
        raise DataError(f"{name}: a {type(dataset).__name__} of batches given; join them with torch.cat to one tensor")
    paired = target is not None and task.targets in ("tensor", "list")
    listed = paired and task.listed
    return Items(dataset, labels, _fitting(image[None], preprocess, name), paired=paired, listed=listed, **loading)


def _pictures(dataset: Any, labels: Labels | None, preprocess: Preprocess | None, name: str, task: Task) -> Collection:
    if task.targets in ("tensor", "list"):
        raise DataError(
            f"{name}: pictures given; for {task.name} give a data set of pairs (tensor as the network takes it, target)"
        )
    if labels is None and task.targets == "class":
        raise DataError(
            f"{name}: pictures without labels; give a folder of images, or tensors as the network takes them"
        )
    shape = _shape(preprocess, "pictures")
    numbered = np.zeros(len(dataset), np.int64) if labels is None else labels
    classes = tuple(str(number) for number in range(int(numbered.max()) + 1))
    return Pictures(PictureImages(dataset, classes, numbered, name), labels is not None, shape)
