"""What the system refuses a run: permissions, room, memory, a file's place. One line, whoever in the run hits on it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from eagleeye.errors import ArtifactError, EvaluationError

_ROOM = "make room and run again: what is done is kept"
_PLACE = "move away what is in its place, and run again"
_PERMISSIONS = "mend the permissions, or work in another folder, and run again"
WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG), _PLACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _PERMISSIONS),
}


@contextmanager
def refusals_told() -> Iterator[None]:
    """Tell in one line what the system refuses; every other error stays what it is.

    Raises:
        ArtifactError: A file cannot be read or written.
        EvaluationError: Memory is short.
    """
    try:
        yield
    except OSError as error:
        way_out = WAYS_OUT.get(error.errno or 0)
        if way_out is None:
            raise
        what = error.filename if isinstance(error.filename, str) else "a file"
        raise ArtifactError(f"{what}: {os.strerror(error.errno or 0)}: {way_out}") from error
    except (MemoryError, RuntimeError) as error:
        from eagleeye.forward.running import is_full  # with PyTorch, which whoever raises this has loaded

        if not is_full(error):
            raise
        said = (str(error).splitlines() or ["MemoryError"])[0]
        raise EvaluationError(
            f"memory is short ({said}): set evaluate.workers to 1, or batch_size lower, or free some, and run again"
        ) from error
