import math
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.scoring.racing import Rung, Scores
from eagleeye.task.classification import CLASSIFICATION, SCORERS
from eagleeye.task.confidence import Hits, Losses
from eagleeye.task.named import TASKS
from eagleeye.task.scores import Scorer
from eagleeye.task.task import by_name
from tasks.state.scorebook import Scorebook

RUNG = Rung(256, 1024)
BITS, NATS = Hits(np.array([True, False, True])).pack(), Losses(np.array([0.5, 3.0, 0.25])).pack()
ALIKE, APART = Hits(np.array([True, True, False])).pack(), Losses(np.array([0.75, 1.0, 0.0])).pack()
IMAGES = dict.fromkeys(SCORERS, NATS) | {"accuracy": BITS, "agreement": ALIKE, "divergence": APART}
VANILLA = {f"vanilla_{name}": 7.5 - place for place, name in enumerate(SCORERS)}


def made(accuracy: float, loss: float, **changes) -> Scores:
    vanilla = {name: changes.pop(name) for name in VANILLA if name in changes}
    values = dict.fromkeys(SCORERS, 0.9) | {"accuracy": accuracy, "loss": loss, "agreement": 0.7, **vanilla}
    return Scores(values, IMAGES, **changes)


SCORES = made(0.6123, 1.25, **VANILLA, seconds=0.7)

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from eagleeye.scoring.racing import Rung, Scores
from eagleeye.task.classification import CLASSIFICATION, SCORERS
from tasks.state.scorebook import Scorebook
book = Scorebook(sys.argv[1])
images = {name: name.encode() for name in SCORERS}
for row in range(10**6):
    values = dict.fromkeys(SCORERS, 0.5) | {"accuracy": row / 1e6, "loss": row / 7}
    book.record("search", f"s{row:06d}", Rung(256, 1024), Scores(values, images, seconds=0.1))
    print(row, flush=True)
"""


def test_a_new_record_knows_nothing_and_creates_its_folder(tmp_path):
    with Scorebook(tmp_path / "state" / "scores.sqlite") as book:
        assert book.known("search", RUNG) == {}


def test_what_was_recorded_is_known_after_opening_again(tmp_path):
    path = tmp_path / "scores.sqlite"
    with Scorebook(path) as book:
        book.record("a", "s0001", RUNG, SCORES)
        book.record("a", "s0000", RUNG, made(0.1, 2.3))
        book.record("b", "s0000", RUNG, made(0.2, 2.4))
    with Scorebook(path) as book:
        assert book.known("a", RUNG) == {"s0000": made(0.1, 2.3), "s0001": SCORES}
        assert list(book.known("a", RUNG)) == ["s0000", "s0001"]
        assert book.known("b", RUNG) == {"s0000": made(0.2, 2.4)}


finite_or_not = st.floats()


@example(scores=made(0.0, -0.0, **dict.fromkeys(VANILLA, -0.0)))
@given(
    scores=st.builds(
        Scores,
        values=st.fixed_dictionaries(
            {
                f"{kind}{name}": st.floats(0, 1) if name in ("accuracy", "agreement") else finite_or_not
                for kind in ("", "vanilla_")
                for name in IMAGES
            }
        ),
        images=st.fixed_dictionaries(dict.fromkeys(IMAGES, st.binary())),
    )
)
def test_numbers_come_back_bit_for_bit(tmp_path_factory, scores):
    with Scorebook(tmp_path_factory.mktemp("book") / "scores.sqlite") as book:
        book.record("search", "s0000", RUNG, scores)
        book.record("search", "s0000", RUNG, scores)  # and equal themselves, NaN included
        back = book.known("search", RUNG)["s0000"]
    assert back.images == scores.images
    assert back.values.keys() == scores.values.keys()
    for name, before in scores.values.items():
        after = back.values[name]
        assert before == after or (math.isnan(before) and math.isnan(after)), name


def test_the_same_scores_twice_are_one_record_whatever_the_time_they_took(tmp_path):
    with Scorebook(tmp_path / "scores.sqlite") as book:
        book.record("a", "s0000", RUNG, made(0.5, 1.0, seconds=1.0))
        book.record("a", "s0000", RUNG, made(0.5, 1.0, seconds=2.0))
        assert book.known("a", RUNG) == {"s0000": made(0.5, 1.0, seconds=1.0)}


@pytest.mark.parametrize("other", [made(0.5 + 1e-16, 1.0), made(0.5, math.nan), made(0.5, 1.0, **VANILLA)], ids=str)
def test_other_scores_for_the_same_candidate_are_refused_and_the_first_kept(tmp_path, other):
    with Scorebook(tmp_path / "scores.sqlite") as book:
        book.record("a", "s0000", RUNG, made(0.5 - 1e-16, 1.0))
        with pytest.raises(EvaluationError, match=r"candidate s0000: scored .* move .*scores\.sqlite"):
            book.record("a", "s0000", RUNG, other)
        assert book.known("a", RUNG) == {"s0000": made(0.5 - 1e-16, 1.0)}


def test_every_record_outlives_sigkill_at_once(tmp_path):
    path = tmp_path / "scores.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        announced = [int(writer.stdout.readline()) for _ in range(50)]
        os.kill(writer.pid, signal.SIGKILL)
        announced += [int(line) for line in writer.stdout.read().splitlines() if line]
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == -signal.SIGKILL
    with Scorebook(path) as book:
        known = book.known("search", RUNG)
        assert len(known) in (
            len(announced),
            len(announced) + 1,
        )  # one may be on record but not yet announced
        images, rest = {name: name.encode() for name in SCORERS}, dict.fromkeys(SCORERS, 0.5)
        wanted = [Scores(rest | {"accuracy": row / 1e6, "loss": row / 7}, images, 0.1) for row in range(len(known))]
        assert known == {f"s{row:06d}": scores for row, scores in enumerate(wanted)}
        book.record("search", "next", RUNG, SCORES)


def test_a_writer_killed_inside_a_transaction_leaves_no_lock_behind(tmp_path):
    path = tmp_path / "scores.sqlite"
    Scorebook(path).close()
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); c.execute(\"INSERT INTO scores VALUES ('a', 'torn', 0, 0, 0, 0, 0)\");"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    with Scorebook(path) as book:
        assert book.known("a", RUNG) == {}
        started = time.monotonic()
        book.record("a", "s0000", RUNG, SCORES)
        assert time.monotonic() - started < 5
        assert book.known("a", RUNG) == {"s0000": SCORES}


def _write_all(path, barrier, own):
    barrier.wait()
    with Scorebook(path) as book:
        for row in range(40):
            book.record("search", f"s{row:04d}", RUNG, made(row / 40, 1.0, seconds=own))
            book.record("search", f"own{own}-{row:04d}", RUNG, made(0.5, 1.0))


def test_several_processes_open_a_new_file_at_once_and_write_the_same_candidates(tmp_path):
    # Not forked: the test process has threads of other tests by now.
    context = multiprocessing.get_context("spawn")
    path, barrier = tmp_path / "scores.sqlite", context.Barrier(4)
    writers = [context.Process(target=_write_all, args=(path, barrier, own)) for own in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    with Scorebook(path) as book:
        known = book.known("search", RUNG)
    assert len(known) == 40 + 4 * 40
    assert all(known[f"s{row:04d}"].values["accuracy"] == row / 40 for row in range(40))


def test_a_file_older_than_a_score_is_given_its_columns(tmp_path):
    path = tmp_path / "scores.sqlite"
    Scorebook(path).close()
    older = sqlite3.connect(path)
    for column in ("divergence", "divergences", "vanilla_divergence"):
        older.execute(f"ALTER TABLE outcomes DROP COLUMN {column}")
    older.close()
    with Scorebook(path) as book:
        book.record("a", "s0000", RUNG, SCORES)
        assert book.known("a", RUNG) == {"s0000": SCORES}


def test_threads_share_one_object(tmp_path):
    with Scorebook(tmp_path / "scores.sqlite") as book:

        def write(worker):
            for row in range(25):
                book.record("search", f"{worker}-{row}", RUNG, SCORES)

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(book.known("search", RUNG)) == 100


def test_commits_are_synced_to_disk(tmp_path):
    path = tmp_path / "scores.sqlite"
    with Scorebook(path) as book:
        assert book._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        with sqlite3.connect(path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(EvaluationError, match=r"scores\.sqlite: .*not a database.*move the file away"):
        Scorebook(path)


def test_a_full_disk_is_named_and_loses_nothing(tmp_path):
    path = tmp_path / "scores.sqlite"
    with Scorebook(path) as book:
        book.record("a", "s0000", RUNG, SCORES)
        pages = book._connection.execute("PRAGMA page_count").fetchone()[0]
        book._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(EvaluationError, match=r"full.*free the disk"):
            for row in range(1, 10_000):
                book.record("a", f"s{row:04d}", RUNG, SCORES)
        assert book.known("a", RUNG)["s0000"] == SCORES


def test_rungs_are_kept_apart_and_statistics_are_those_to_go_on_from(tmp_path):
    first, second = Rung(256, 1024), Rung(512, 2048)
    with Scorebook(tmp_path / "scores.sqlite") as book:
        book.record("a", "s0000", first, made(0.5, 1.0), b"of 256")
        book.record("a", "s0000", second, made(0.4, 1.1), b"of 512")
        book.record("a", "s0001", first, made(0.3, 1.2), b"other")
        assert book.known("a", first) == {"s0000": made(0.5, 1.0), "s0001": made(0.3, 1.2)}
        assert book.known("a", second) == {"s0000": made(0.4, 1.1)}
        assert book.statistics("a", "s0000", Rung(1667, 5000)) == (512, b"of 512")
        # Statistics of more images than the evaluation to come is of would change its result.
        assert book.statistics("a", "s0000", Rung(256, 5000)) == (256, b"of 256")
        assert book.statistics("a", "s0000", Rung(128, 64)) is None
        book.drop_statistics("a", ["s0000", "unknown"])
        assert book.statistics("a", "s0000", second) is None
        assert book.statistics("a", "s0001", second) == (256, b"other")
        assert book.known("a", first)["s0000"] == made(0.5, 1.0)


@pytest.mark.parametrize(
    ("score", "merits", "values"),
    [
        ("accuracy", (0.6123, -1.25), [True, False, True]),
        ("loss", (-1.25, 0.6123), [0.5, 3.0, 0.25]),
        ("agreement", (0.7, -0.9), [True, True, False]),
        ("divergence", (-0.9, 0.7), [0.75, 1.0, 0.0]),
    ],
)
def test_any_score_on_record_can_decide_a_race(score, merits, values):
    standing = SCORES.standing(CLASSIFICATION.order(score))
    assert standing.merits == merits
    assert standing.evidence.values.tolist() == values


def test_a_file_takes_the_scores_of_every_task(tmp_path):
    path = tmp_path / "scores.sqlite"
    for name, task in TASKS.items():
        values = dict.fromkeys(task.scorers, 0.5)
        images = {score: score.encode() for score in task.scorers}
        with Scorebook(path, task) as book:
            book.record(name, "8-8", Rung(1, 2), Scores(values, images))
            found = book.known(name, Rung(1, 2))["8-8"]
        assert (dict(found.values), dict(found.images)) == (values, images)


@pytest.mark.parametrize("names", [("seconds", "own"), ("own", "images"), ("own", "own")])
def test_a_score_that_is_called_like_another_column_is_refused(tmp_path, names):
    class Own(type(CLASSIFICATION)):
        name = "own"
        scorers = by_name([Scorer(names[0], lambda *_: None, False, Hits, names[0], images=names[1], label="own")])

    with pytest.raises(ConfigError, match=f"task own: '{names[0] if names[0] == 'seconds' else names[1]}' names two"):
        Scorebook(tmp_path / "scores.sqlite", Own())
