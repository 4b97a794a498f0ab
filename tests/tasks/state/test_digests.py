"""Digests follow from contents; a file that has not changed is not read twice."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from eagleeye.errors import ArtifactError, DataError
from tasks.state import digests
from tasks.state.digests import Digests


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    read, found = digests._read, list[Path]()
    monkeypatch.setattr(digests, "_read", lambda path: found.append(path) or read(path))
    return found


def written(path: Path, content: bytes, age: float = 100) -> Path:
    path.write_bytes(content)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def of(folder: Path, path: Path) -> str:
    with Digests(folder / "record" / "digests.sqlite") as record:
        return record.of(path)


def test_a_digest_is_that_of_the_content_and_an_edit_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"one")
    assert of(tmp_path, path) == hashlib.sha256(b"one").hexdigest()
    written(path, b"two")  # as long, and of the same age
    assert of(tmp_path, path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_is_read_again_only_where_it_may_have_changed(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a", b"one")
    monkeypatch.setattr(digests, "YOUNG", -1.0)  # its inode is young, whatever its times
    assert of(tmp_path, path) == of(tmp_path, path)
    assert reads == [path]
    written(path, b"one", age=50)
    assert of(tmp_path, path) == hashlib.sha256(b"one").hexdigest()
    assert reads == [path, path]


def test_a_file_that_was_just_written_is_not_trusted_to_its_times(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert of(tmp_path, path) == of(tmp_path, path)
    assert reads == [path, path]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent cannot be read: No such file"):
        of(tmp_path, tmp_path / "absent")
    (tmp_path / "record" / "digests.sqlite").write_bytes(b"no database, though long enough to be taken for one" * 99)
    with pytest.raises(ArtifactError, match=r"digests\.sqlite is damaged .*delete it"):
        of(tmp_path, tmp_path / "absent")
