"""The data sets of torchvision by name, with its own download."""

import inspect
from pathlib import Path
from typing import Any

from eagleeye.data.images import ImageSet
from eagleeye.data.pictures import open_pictures
from eagleeye.errors import ConfigError, DataError, close_names
from eagleeye.references import described

# Labelled but without public test labels: the validation part is what everybody reports.
_TEST_SPLITS = {"ImageNet": "val", "Imagenette": "val", "Places365": "val"}
_TRAIN_SPLITS = {"Places365": "train-standard"}
# What torchvision's constructors take, but settings cannot give (functions) or this module gives itself.
_NOT_SETTINGS = {"root", "download", "transform", "target_transform", "transforms", "loader"}


def open_torchvision(
    name: str,
    *,
    root: str | Path,
    download: bool = False,
    train_split: str | None = None,
    test_split: str | None = None,
    **options: Any,
) -> tuple[ImageSet, ImageSet]:
    """Training and test set of a torchvision data set for classification.

    Args:
        name: Class in `torchvision.datasets`, such as CIFAR10.
        root: Folder that holds the data, or takes the download.
        download: Whether to download what is missing.
        train_split: Name of the training part, where the data set has named parts (default: "train").
        test_split: Name of the test part (default: "test", or "val" where there are no test labels).
        **options: Whatever else the data set takes.

    Returns:
        Training set and test set.

    Raises:
        ConfigError: The data set or an option is unknown.
        DataError: The data are missing or damaged, or the download failed.
    """
    dataset = _class_of(name)
    known = _parameters(dataset)
    if "train" in known:
        division: str = "train"
        sides: tuple[bool | str, bool | str] = (True, False)
    elif "split" in known:
        division = "split"
        first = _TRAIN_SPLITS.get(name, "train")
        last = _TEST_SPLITS.get(name, "test")
        sides = (train_split or first, test_split or last)
    else:
        raise DataError(
            f"torchvision:{name} is not divided into training and test images: divide it in a function of "
            "your own, and give that as package.module:function"
        )
    settings = known - _NOT_SETTINGS - {division}
    if unknown := [option for option in options if option not in settings]:
        takes = ", ".join(sorted({"root", "download", "train_split", "test_split"} | settings))
        raise ConfigError(f"torchvision:{name} has no option {unknown[0]!r}; it takes {takes}")
    common = {**options, "root": Path(root).expanduser()}
    if "download" in known:
        common["download"] = download
    train, test = (_made(dataset, name, download, {**common, division: side}) for side in sides)
    return open_pictures(train, test, f"torchvision:{name}")


def _class_of(name: str) -> type[Any]:
    from torchvision import datasets

    known = [entry for entry in datasets.__all__ if inspect.isclass(getattr(datasets, entry))]
    if name not in known:
        raise ConfigError(f"torchvision has no data set {name!r}; {close_names(name, known, known[:4])}")
    found: type[Any] = getattr(datasets, name)
    return found


def _parameters(dataset: type[Any]) -> set[str]:
    # Some hand part of their arguments on to their base class.
    names: set[str] = set()
    for base in inspect.getmro(dataset):
        if base is not object and "__init__" in vars(base):
            parameters = inspect.signature(base).parameters.values()
            names |= {entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD}
            if not any(entry.kind is entry.VAR_KEYWORD for entry in parameters):
                break
    return names


def _made(dataset: type[Any], name: str, download: bool, arguments: dict[str, Any]) -> Any:
    try:
        return dataset(**arguments)
    except TypeError as cause:
        raise ConfigError(f"torchvision:{name}: its options do not fit ({described(cause)})") from cause
    # RuntimeError for missing data, URLError for the network, and much else for damaged files.
    except Exception as cause:
        way_out = "check network and folder" if download else "set download to true, or put the data there"
        raise DataError(
            f"torchvision:{name} cannot be opened in {arguments['root']}: {described(cause)}; {way_out}"
        ) from cause
