"""Whole files or none: what other writers, full disks and kills leave behind."""

import os
import resource
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole


@contextmanager
def full_disk_after(size: int) -> Iterator[None]:
    """Let the kernel refuse to make any file larger than `size` bytes."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_final_name_appears_only_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.parquet"
    with written_whole(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".parquet"
        temporary.write_bytes(b"half")
        assert not path.exists()
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), RuntimeError("of the network")])
def test_an_exception_passes_and_leaves_the_former_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"former")
    with pytest.raises(type(error)) as caught, written_whole(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert caught.value is error
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def write_bytes(path: Path) -> None:
    path.write_bytes(bytes(200_000))


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(50_000)}), path)


def write_pickle(path: Path) -> None:
    torch.save({"x": torch.rand(50_000)}, path)


def write_safetensors(path: Path) -> None:
    safetensors.torch.save_file({"x": torch.rand(50_000)}, path)


@pytest.mark.parametrize("write", [write_bytes, write_parquet, write_pickle, write_safetensors])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, write) -> None:
    path = tmp_path / "weights.bin"
    with full_disk_after(20_000), pytest.raises(ArtifactError) as caught, written_whole(path) as temporary:
        write(temporary)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"cannot write .*file/table"), written_whole(tmp_path / "file" / "table"):
        pass


def test_a_folder_in_place_of_the_file_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "table" / "inner").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot write"), written_whole(tmp_path / "table") as temporary:
        temporary.write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["table"]


def test_the_leftover_of_a_killed_writer_goes_and_that_of_a_running_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    writer = os.fork()
    if writer == 0:
        with written_whole(path) as temporary:
            temporary.write_text("half")
            time.sleep(60)
        os._exit(0)
    try:
        deadline = time.monotonic() + 20
        while not any(entry.read_text() == "half" for entry in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with written_whole(path) as temporary:
            temporary.write_text("whole")
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert path.read_text() == "whole"
    with written_whole(path) as temporary:
        temporary.write_text("again")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "again"


def test_files_have_the_usual_permissions_whatever_the_writer_gives(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    with written_whole(tmp_path / "table") as beside:
        beside.touch(mode=0o600)
    assert (tmp_path / "table").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_permissions_are_what_the_process_allows_when_it_writes(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with written_whole(tmp_path / "own") as beside:
            beside.touch()
        assert os.umask(0o027) == 0o077
        with written_whole(tmp_path / "shared") as beside:
            beside.touch()
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("own", "shared")] == [0o600, 0o640]
