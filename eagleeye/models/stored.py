"""What a checkpoint's file holds, whoever wrote it: read without running any code from it."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from eagleeye.errors import CheckpointError
from eagleeye.foreign import LOOKED_AT, recognised
from eagleeye.references import described

_TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive; a pickle, as torch wrote before 1.6
# What training scripts add beside tensors: their command line, paths, a best accuracy, lists of losses.
_RECORDS = (
    "argparse.Namespace",
    *(f"pathlib.{name}" for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
    *(f"pathlib._local.{name}" for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
    *("numpy.dtype", "numpy.ndarray"),
    *(f"numpy.{module}.multiarray.{name}" for module in ("core", "_core") for name in ("scalar", "_reconstruct")),
)
_ALONE = "save the weights alone, with torch.save(model.state_dict(), path)"


class _Unread:
    """Stands for a record that nobody needs: NumPy's own arrays, for one, read foreign memory from a crafted file."""

    def __init__(self, *_: Any) -> None:
        """Take whatever the record is made from."""

    def __setstate__(self, _: Any) -> None:
        """Take whatever the record holds."""


def read_stored(path: Path) -> Any:
    """The content of a checkpoint, told by itself: its name does not matter.

    Args:
        path: A safetensors file, or one written by `torch.save`.

    Returns:
        Whatever was saved, tensors on the CPU; of other objects only that they are there.

    Raises:
        CheckpointError: The file is missing, damaged, a stand-in for another, or holds Python objects.
    """
    start = _start_of(path)
    # First: such a file begins with a number, which can have the bytes of any other kind's mark.
    if _is_safetensors(start, path.stat().st_size):
        return _safetensors(path)
    if kind := recognised(start):
        raise CheckpointError(f"checkpoint {path} is {kind}")
    if not start.startswith(_TORCH_STARTS) and path.suffix == ".safetensors":
        return _safetensors(path)
    _refuse_programs(path)
    return _unpickled(path)


def is_safetensors(path: Path) -> bool:
    """Whether a checkpoint is a safetensors file, whatever its name.

    Args:
        path: The file.

    Raises:
        CheckpointError: The file is missing, or cannot be read.
    """
    return _is_safetensors(_start_of(path), path.stat().st_size)


def _start_of(path: Path) -> bytes:
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist, or is not a file")
    try:
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except OSError as cause:
        raise CheckpointError(f"checkpoint {path} cannot be read: {cause.strerror}") from cause


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether a file begins with the length of a header that fits into it, and with its JSON."""
    return start[8:9] == b"{" and 8 + int.from_bytes(start[:8], "little") <= size


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as cause:
        raise CheckpointError(
            f"checkpoint {path} is not a whole safetensors file ({described(cause)}): copy or fetch it again"
        ) from cause


def _refuse_programs(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return  # what it is instead is told by reading it
    if "constants.pkl" in names:
        raise CheckpointError(
            f"checkpoint {path} is a TorchScript program: save its weights alone, with "
            "torch.save(torch.jit.load(path).state_dict(), other_path)"
        )
    if "archive_format" in names:
        raise CheckpointError(
            f"checkpoint {path} is a program of torch.export: save its weights alone, with "
            "torch.save(torch.export.load(path).state_dict, other_path)"
        )


def _unpickled(path: Path) -> Any:
    try:
        # Opened here: by its name torch would take it for another kind.
        with torch.serialization.safe_globals([(_Unread, name) for name in _RECORDS]), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        if zipfile.is_zipfile(path) or "Unsupported" in str(cause):
            refused = re.search(r"GLOBAL (\S+)", str(cause))
            named = f" ({refused[1]})" if refused else ""
            raise CheckpointError(
                f"checkpoint {path} holds Python objects besides tensors{named}, and unpickling those could run "
                f"any code: {_ALONE}"
            ) from cause
        raise CheckpointError(f"checkpoint {path} is damaged, or was not written by torch.save") from cause
    # A damaged file makes torch raise almost anything.
    except Exception as cause:
        raise CheckpointError(
            f"checkpoint {path} is damaged, or was not written by torch.save ({described(cause)[:160]})"
        ) from cause
