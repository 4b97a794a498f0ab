"""Every source of images behind one function."""

import inspect
from collections.abc import Callable
from typing import Any

from eagleeye.data.coco import open_coco
from eagleeye.data.digits import open_digits
from eagleeye.data.folder import open_folders
from eagleeye.data.images import ImageSet
from eagleeye.data.listed import open_listed
from eagleeye.data.masks import open_masks
from eagleeye.data.parquet import open_parquet
from eagleeye.data.pictures import open_pictures
from eagleeye.data.samples import holds_inputs, open_samples
from eagleeye.data.scenes import open_scenes
from eagleeye.data.torchvision_sets import open_torchvision
from eagleeye.data.unlabelled import open_unlabelled
from eagleeye.errors import ConfigError, DataError, EagleEyeError
from eagleeye.references import described, resolve

_SOURCES: dict[str, Callable[..., tuple[ImageSet, ImageSet]]] = {
    "digits": open_digits,
    "scenes": open_scenes,
    "parquet": open_parquet,
    "imagefolder": open_folders,
    "images": open_unlabelled,
    "masks": open_masks,
    "table": open_listed,
    "coco": open_coco,
}


def open_source(name: str, **options: Any) -> tuple[ImageSet, ImageSet]:
    """Open a training and a test set.

    Args:
        name: One of

            - `digits`: scikit-learn's handwritten digits, 8x8; no options.
            - `scenes`: the same digits placed, turned and scaled amid fragments of others and noise, 20x20, 3,000 to
              train on and 8,000 to test; no options.
            - `parquet`: files by the hub's convention; options `train`, `test` (path, glob or list of these),
              `image_column`, `label_column`.
            - `imagefolder`: one sub-folder per class; options `train`, `test` (folders).
            - `images`: pictures without labels; options `train`, `test` (folders; without the latter a tenth is for
              testing).
            - `masks`: pictures with a class for every pixel; options `train_images`, `train_masks`, `test_images`,
              `test_masks` (folders), `classes`, `values`.
            - `table`: pictures with several labels or numbers; options `train`, `test` (CSV or Parquet files),
              `target_columns`, `image_column`, `root`.
            - `coco`: pictures with boxes, annotated as for COCO; options `train_images`, `test_images` (folders),
              `train_annotations`, `test_annotations` (JSON files).
            - `torchvision:NAME`: a data set of torchvision; options `root`, `download`, `train_split`,
              `test_split` and those of the data set itself.
            - `package.module:function`: your own; it gets the options and returns (train, test), each an
              ImageSet or a data set with len() whose items are (PIL image or uint8 array (h, w, channels),
              label), or (float tensor as the network takes it, label, numbers, mask, or dict of boxes and labels),
              or such a tensor alone.
        **options: See above.

    Returns:
        Training set and test set, with the same classes. Where targets are no classes, they are
        `eagleeye.data.targets.Targeted`; where there are none, an attribute `labelled` is False.

    Raises:
        ConfigError: The source or an option is unknown or missing.
        DataError: The data are missing, damaged or contradictory.
    """
    if name.startswith("torchvision:"):
        wanted = name.removeprefix("torchvision:")
        _check_options(name, open_torchvision, ("name",), options)
        return open_torchvision(wanted, **options)
    if name in _SOURCES:
        _check_options(name, _SOURCES[name], (), options)
        return _SOURCES[name](**options)
    if ":" in name:
        return _open_own(name, options)
    raise ConfigError(
        f"unknown data source {name!r}; allowed are {', '.join(_SOURCES)}, torchvision:NAME or package.module:function"
    )


def _check_options(name: str, opener: Callable[..., Any], given: tuple[str, ...], options: dict[str, Any]) -> None:
    parameters = [entry for entry in inspect.signature(opener).parameters.values() if entry.name not in given]
    known = [entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD]
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    for option in options:
        if option not in known and len(known) == len(parameters):
            raise ConfigError(f"data source {name} has no option {option!r}; {takes}")
    for entry in parameters:
        if entry.default is entry.empty and entry.name in known and options.get(entry.name) is None:
            raise ConfigError(f"data source {name} needs the option {entry.name!r}; {takes}")


def _open_own(name: str, options: dict[str, Any]) -> tuple[ImageSet, ImageSet]:
    function = resolve(name, DataError)
    try:
        result = function(**options)
    except EagleEyeError:
        raise
    except Exception as cause:
        raise DataError(f"{name} failed: {described(cause)}") from cause
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise DataError(f"{name} returned a {type(result).__name__}; needed is a pair (training set, test set)")
    if any(holds_inputs(part, name) for part in result):
        return open_samples(result[0], result[1], name)
    return open_pictures(result[0], result[1], name)
