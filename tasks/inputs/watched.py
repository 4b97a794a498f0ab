"""What the user may change without touching params.yaml: which files the settings lead to."""

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.params import Params
from tasks.state.sources import own_sources

# Its data sets are published, and checked by itself; what else lies in their folder is nobody's input.
PUBLISHED = "torchvision:"
_BOTH = ("train", "test")
OPTIONS = {
    "coco": ("train_images", "train_annotations", "test_images", "test_annotations"),
    "digits": (),
    "imagefolder": _BOTH,
    "images": _BOTH,
    "masks": ("train_images", "train_masks", "test_images", "test_masks"),
    "parquet": _BOTH,
    "scenes": (),
    "table": (*_BOTH, "root"),
}
# What archives made on a Mac leave beside the folders that they hold.
LEFTOVERS = "__MACOSX"


def data_files(params: Params) -> dict[str, dict[str, Path]]:
    """The files of the images, as far as options of the source name them.

    Args:
        params: The settings.

    Returns:
        By option: its files and empty folders, by the name that each has from where the option points to. An option
        whose files are missing has none; one of a function of one's own that names no file is left out.
    """
    source = params.data.source
    options = params.data.options
    if source.startswith(PUBLISHED):
        return {}
    known = OPTIONS.get(source, tuple(options))
    found = {name: dict(_files(options.get(name))) for name in known}
    return {name: files for name, files in found.items() if files or source in OPTIONS}


def code_files(params: Params) -> dict[str, Path]:
    """The user's own Python files behind the functions that settings name, and behind what these import."""
    named = (params.task, params.data.source, params.model.name, params.finetune.trainer or "")
    return own_sources(*named, params.strategies.sampler, params.importance.criterion)


def _files(value: object) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from ((f"{number}/{name}", path) for name, path in _files(entry))
    elif isinstance(value, str) and value:
        path = Path(value).expanduser()
        for found in [path] if path.exists() else map(Path, sorted(glob.glob(str(path), recursive=True))):  # noqa: PTH207
            yield from _below(found) if found.is_dir() else [(found.name, found)]


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files and empty folders below a folder by their names from there; what is hidden is as if it were not there."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()  # a link to what is counted already, or to a folder that holds it
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if _counts(name))
        files = [path for name in sorted(filter(_counts, names)) if (path := Path(place, name)).is_file()]
        if not files and not folders:  # a class without images, which is refused
            files = [Path(place)]
        yield from ((path.relative_to(folder).as_posix(), path) for path in files)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in (LEFTOVERS, "__pycache__")
