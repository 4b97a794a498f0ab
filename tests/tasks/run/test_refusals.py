import errno
from pathlib import Path

import pytest
import torch

from eagleeye.errors import ArtifactError, EvaluationError
from tasks.run.lock import only_run
from tasks.run.refusals import refusals_told


@pytest.mark.parametrize(
    ("number", "way_out"),
    [
        (errno.ENOSPC, "make room and run again"),
        (errno.EDQUOT, "make room and run again"),
        (errno.EACCES, "mend the permissions"),
        (errno.EROFS, "mend the permissions"),
        (errno.EISDIR, "move away what is in its place"),
        (errno.ENOTDIR, "move away what is in its place"),
    ],
)
def test_what_the_system_refuses_is_one_line(number: int, way_out: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^artifacts/x\.parquet: [^\n]+: {way_out}[^\n]*$"), refusals_told():
        raise OSError(number, "words of whoever raised it", "artifacts/x.parquet")


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x"), ConnectionError(), OSError("x"), ValueError()])
def test_what_else_goes_wrong_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, refusals_told():
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("could not create a primitive")],
)
def test_short_memory_is_one_line(error: Exception) -> None:
    with (
        pytest.raises(EvaluationError, match=r"^memory is short \([^\n]+: set evaluate\.workers to 1"),
        refusals_told(),
    ):
        raise error
    with pytest.raises(RuntimeError, match="shapes"), refusals_told():
        raise RuntimeError("shapes cannot be multiplied")


def test_a_run_in_whose_folder_nothing_can_be_kept_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".eagleeye").write_text("a file in its place")
    with pytest.raises(ArtifactError, match=r"^\.eagleeye[^\n]*: move away what is in its place"), only_run("stage x"):
        pass
    Path(".eagleeye").unlink()
    with pytest.raises(ArtifactError, match=r"^artifacts: [^\n]+: move away"), only_run("stage x"):
        Path("artifacts").mkdir()
        Path("artifacts").write_text("a folder in its place")
    with only_run("the next one"):
        pass
