"""Pictures that nobody has labelled: for tasks that look at no labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eagleeye.data.folder import FolderImages
from eagleeye.data.listing import pictures_below
from eagleeye.errors import DataError

HELD_OUT = 10
"""Of so many pictures one is for testing, where no others are given."""


class UnlabelledImages(FolderImages):
    """Pictures without labels.

    Attributes:
        labelled: False.
    """

    labelled = False


def open_unlabelled(train: str | Path, test: str | Path | None = None) -> tuple[UnlabelledImages, UnlabelledImages]:
    """Training and test set from one or two folders of pictures, with any folders inside.

    Args:
        train: Folder of pictures.
        test: Folder of others; None: every tenth of `train`, drawn once and for all, is for testing alone.

    Raises:
        DataError: A folder is missing, or holds too few pictures.
    """
    files = _files(Path(train).expanduser())
    if test is not None:
        return _images(files), _images(_files(Path(test).expanduser()))
    if len(files) < HELD_OUT:
        raise DataError(f"{train} holds {len(files)} pictures, of which none can be left for testing: set test, too")
    held = set(np.random.default_rng(0).permutation(len(files))[: len(files) // HELD_OUT].tolist())
    kept, tested = ([file for place, file in enumerate(files) if (place in held) is wanted] for wanted in (False, True))
    return _images(kept), _images(tested)


def _images(files: list[str]) -> UnlabelledImages:
    return UnlabelledImages([(file, 0) for file in files], ())


def _files(folder: Path) -> list[str]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one of pictures")
    files, _ = pictures_below(folder.parent, folder.name, IMG_EXTENSIONS)
    if not files:
        raise DataError(f"{folder} holds no picture ({', '.join(IMG_EXTENSIONS)})")
    return files
