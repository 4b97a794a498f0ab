"""Work on another machine: the shared files are brought there once, items are worked on in the folder with them."""

import functools
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.run.context import Item, Row, Work
from tasks.run.shared import Shared
from tasks.state.content_key import content_key


@dataclass(frozen=True)
class Shipment:
    """What items share, on its way.

    Attributes:
        shared: What is sent.
        folder: The project's folder where it is sent from.
        digests: SHA-256 of each of the files.
    """

    shared: Shared
    folder: Path
    digests: tuple[str, ...]


def ship(shared: Shared) -> Shipment:
    """Make what items share ready to be sent from the working directory.

    Args:
        shared: What is sent.
    """
    folder = Path.cwd()
    return Shipment(shared, folder, _digests(folder, shared.files))


def work_on(
    work: Work[Item, Row], shipment: Shipment, fetch: Callable[[int], bytes], items: Sequence[Item], lanes: int
) -> list[Row]:
    """Work on items in this process, which is not the flow's own.

    Args:
        work: As in `tasks.run.context.Context.map`.
        shipment: Its first argument on its way.
        fetch: Gives the content of the file number so and so; called only where this machine lacks it.
        items: Its second arguments.
        lanes: Items at a time.

    Returns:
        The rows in the items' order.
    """
    folder = settle(shipment, fetch)
    os.chdir(folder)
    if str(folder) not in sys.path:  # where package.module:function of the settings is looked up
        sys.path.insert(0, str(folder))
    if shipment.shared.device == "cpu":
        torch.set_num_threads(1)
    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(functools.partial(work, shipment.shared), items))


def settle(shipment: Shipment, fetch: Callable[[int], bytes]) -> Path:
    """The folder of this machine that holds the shared files.

    Args:
        shipment: What is on its way.
        fetch: As in `work_on`.

    Returns:
        The project's own folder if it is here, too, with the same content (the same machine, a shared file system);
        a folder of the cache otherwise, filled if it is not there yet.
    """
    files = shipment.shared.files
    if shipment.folder.is_dir() and _found(shipment.folder, files) == shipment.digests:
        return shipment.folder
    names = {path.as_posix(): digest for path, digest in zip(files, shipment.digests, strict=True)}
    home = _cache() / content_key({"files": names})[:16]
    if not home.is_dir():
        _unpack(home, files, fetch)
    return home


def _unpack(home: Path, files: Sequence[Path], fetch: Callable[[int], bytes]) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{socket.gethostname()}-") as beside:
        whole = Path(beside) / home.name
        for number, path in enumerate(files):
            (whole / path).parent.mkdir(parents=True, exist_ok=True)
            (whole / path).write_bytes(fetch(number))
        try:
            whole.rename(home)
        except OSError:
            # Another worker of this machine has been faster.
            if not home.is_dir():
                raise


@functools.lru_cache(maxsize=8)
def _found(folder: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    try:
        return _digests(folder, files)
    except OSError:
        return ()


def _digests(folder: Path, files: Sequence[Path]) -> tuple[str, ...]:
    found = []
    for path in files:
        with (folder / path).open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return tuple(found)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eagleeye"
