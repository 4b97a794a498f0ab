"""Writing a file so that its final name only ever holds the whole of it."""

import itertools
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from eagleeye.errors import ArtifactError

_NUMBER = itertools.count()


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the final name when the block ends well.

    The temporary name keeps the suffix of `path`, because many writers choose the format by it. The folder
    is created where it is missing. Whatever leaves the block early (an exception, a keyboard interrupt)
    removes the temporary file and leaves a former `path` as it was; leftovers of writers that were killed
    are removed by the next one. Keep everything but the writing out of the block: an OSError in it is
    reported as a failure to write.

    Args:
        path: The file to write.

    Yields:
        The path to write to.

    Raises:
        ArtifactError: The file cannot be written (no space, no permission, a folder in its place, ...).
    """
    final = Path(path)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final)
    except OSError as error:
        raise _cannot_write(final, error) from error
    temporary = final.with_name(f"{_prefix(final)}{os.getpid()}-{next(_NUMBER)}.part{final.suffix}")
    try:
        usual = _usual_mode(temporary)
        yield temporary
        _synchronise(temporary)
        # Some writers make files for the owner alone.
        temporary.chmod(usual)
        temporary.replace(final)
        # The name itself, too, should survive a power cut; some file systems cannot promise that.
        with suppress(OSError):
            _synchronise(final.parent)
    except (OSError, SafetensorError, RuntimeError) as error:
        if not _is_about_writing(error):
            raise
        raise _cannot_write(final, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _usual_mode(path: Path) -> int:
    """The permissions that a new file gets here: what the process and the folder allow."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def _prefix(final: Path) -> str:
    # The host's name keeps machines that share a folder from judging each other's process ids.
    return f".{final.stem}.{socket.gethostname()}-"


def _remove_leftovers(final: Path) -> None:
    prefix = _prefix(final)
    ending = f".part{final.suffix}"
    for entry in final.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(ending):
            owner = entry.name[len(prefix) : -len(ending)].partition("-")[0]
            if owner.isdigit() and not _is_running(int(owner)):
                entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_about_writing(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return True
    # torch.save and safetensors report a full disk by exceptions of their own.
    return any(words in str(error) for words in ("iostream error", "inline_container", "I/O error"))


def _cannot_write(final: Path, error: BaseException) -> ArtifactError:
    # By number, as Arrow adds its own words.
    reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else None
    return ArtifactError(
        f"cannot write {final}: {reason or 'the data did not reach the disk'}; no part of it was left behind: "
        "make room, or choose another folder, and run again"
    )
