import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.record.outbox import Outbox, TrackingError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "outbox.sqlite")


def _contents(outbox: Outbox) -> list[tuple[str, dict]]:
    """Everything that waits, in order; the outbox is empty then."""
    found = []
    while entry := outbox.first():
        found.append((entry.method, dict(entry.arguments)))
        outbox.remove(entry.number)
    return found


def test_records_come_out_whole_and_in_order(outbox):
    outbox.append("key", "name", "log_a", {"x": 0.1, "nested": {"y": [1, None, "ü"]}})
    outbox.append("other", "name", "log_b", {"nan": float("nan")})
    assert outbox.count() == 2
    first = outbox.first()
    assert (first.key, first.name, first.size) == ("key", "name", 0)
    (a, with_a), (b, with_b) = _contents(outbox)
    assert (a, with_a, b) == ("log_a", {"x": 0.1, "nested": {"y": [1, None, "ü"]}}, "log_b")
    assert with_b["nan"] != with_b["nan"]
    assert (outbox.count(), outbox.first()) == (0, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None)
@given(records=st.lists(st.dictionaries(st.text(min_size=1), json_values, max_size=3), max_size=5))
def test_another_process_finds_what_was_appended(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    for record in records:
        Outbox(path).append("key", "name", "log", record)
    assert [arguments for _, arguments in _contents(Outbox(path))] == records


def test_files_stay_as_they_were_when_the_record_was_made(outbox, tmp_path):
    file, folder = tmp_path / "ranking.parquet", tmp_path / "report"
    for content in ("first", "second"):
        beside = tmp_path / "beside"
        beside.write_text(content)
        beside.replace(file)  # as artefacts are written
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        beside.write_text(content)
        beside.replace(folder / "figures" / "scores.png")
        outbox.append("key", "name", "log", {"other": 1}, {"path": file, "folder": folder})
    file.unlink()
    for content in ("first", "second"):
        entry = outbox.first()
        assert entry.size == 2 * len(content)
        path, kept = entry.arguments["path"], entry.arguments["folder"]
        assert (path.name, path.read_text()) == ("ranking.parquet", content)
        assert (kept / "figures" / "scores.png").read_text() == content
        outbox.remove(entry.number)
        assert not path.exists()
    assert list((tmp_path / "outbox").iterdir()) == []


def test_files_are_copied_where_they_cannot_be_linked(outbox, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("other file system")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "file").write_text("content")
    outbox.append("key", "name", "log", {}, {"path": tmp_path / "file"})
    assert outbox.first().arguments["path"].read_text() == "content"


def test_a_record_whose_file_is_missing_is_none(outbox, tmp_path):
    with pytest.raises(TrackingError, match="cannot be kept"):
        outbox.append("key", "name", "log", {}, {"path": tmp_path / "missing"})
    assert outbox.count() == 0


def test_what_a_kill_leaves_behind_is_swept_and_what_waits_is_not(outbox, tmp_path):
    (tmp_path / "file").write_text("content")
    outbox.append("key", "name", "log", {}, {"path": tmp_path / "file"})
    orphan = tmp_path / "outbox" / "77" / "path"
    orphan.mkdir(parents=True)
    again = Outbox(tmp_path / "outbox.sqlite")
    assert not orphan.exists()
    assert again.first().arguments["path"].read_text() == "content"


def test_everything_can_be_dropped(outbox, tmp_path):
    (tmp_path / "file").write_text("content")
    for _ in range(3):
        outbox.append("key", "name", "log", {}, {"path": tmp_path / "file"})
    assert (outbox.clear(), outbox.count(), list((tmp_path / "outbox").iterdir())) == (3, 0, [])


def test_a_change_of_who_delivers_is_noticed(outbox, tmp_path):
    other = Outbox(tmp_path / "outbox.sqlite")
    assert [outbox.claim("a"), outbox.claim("a"), other.claim("b"), outbox.claim("a")] == [False, True, False, False]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "outbox.sqlite").write_bytes(b"no database " * 1000)
    with pytest.raises(TrackingError, match=r"outbox\.sqlite: a record for MLflow cannot be kept .*move the file away"):
        Outbox(tmp_path / "outbox.sqlite")


WRITER = """
import sys
from pathlib import Path
from tasks.record.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]) / "outbox.sqlite")
for number in range(100_000):
    outbox.append("key", "name", "log", {"number": number}, {"path": Path(sys.argv[1]) / "file"})
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_every_record_it_reported_and_no_half_one(tmp_path):
    (tmp_path / "file").write_text("content")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    reported = [int(writer.stdout.readline()) for _ in range(40)]
    time.sleep(0.013)
    writer.send_signal(signal.SIGKILL)
    reported += [int(line) for line in writer.communicate()[0].split()]
    outbox, numbers = Outbox(tmp_path / "outbox.sqlite"), []
    while entry := outbox.first():
        assert entry.arguments["path"].read_text() == "content"
        numbers.append(entry.arguments["number"])
        outbox.remove(entry.number)
    assert numbers[: len(reported)] == reported
    assert numbers == list(range(len(numbers)))
    assert len(numbers) <= len(reported) + 1
