"""The thread beside a stage, with a stand-in for MLflow that is well, away, silent, slow or refuses."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.params import Tracking
from tasks.record import beside
from tasks.record import keeper as module
from tasks.record.faults import TrackingError
from tasks.record.keeper import Keeper
from tasks.record.progress import Progress
from tasks.record.shown import Tuning, View
from tasks.record.unshown import FOLDER, Unshown, unshown
from tasks.settings import read_params
from tests.tasks.conftest import ROOT, Recorder

TRACKING = Tracking(uri="http://mlflow", experiment="e")


class Stage(Keeper):
    """What shows a stage, of which something is kept in the working directory."""

    def __init__(self, look: Callable[[], View], name: str = "stage") -> None:
        super().__init__(TRACKING, Unshown(FOLDER / name), look)

    def finish(self, context: Recorder, status: str = "FINISHED") -> None:
        self.end(self._look(), status, context)


class Server:
    """Shows fine-tunings as long as it is well; asked for them again, it knows them."""

    def __init__(self) -> None:
        self.trouble: BaseException | None = None
        self.attempts: list[float] = []
        self.shown: list[str] = []
        self.ended: list[str] = []
        self.opened = 0
        self.open = threading.Event()
        self.open.set()

    def page(self, beat: Callable[[int], None], key: str, name: str, _terms: object) -> "Server":
        assert (key, name) == ("key", "name")
        self.opened += 1
        self.beat = beat
        self._asked()
        return self

    def show(self, view: View) -> None:
        for tuning in view.tunings:
            if tuning.candidate not in self.shown:
                self._asked()
                self.shown.append(tuning.candidate)

    def end(self, status: str) -> None:
        self._asked()
        self.ended.append(status)

    def _asked(self, size: int = 0) -> None:
        self.beat(size)
        self.attempts.append(time.monotonic())
        self.open.wait()
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    monkeypatch.chdir(tmp_path)
    server = Server()
    times = {"LOOK": 0.05, "FIRST_DELAY": 0.1, "LONGEST_DELAY": 0.4, "GRACE": 0.3, "PATIENCE": 0.6, "CONTACT": 0.4}
    times |= {"IMPATIENCE": 0.3}
    for name, seconds in times.items():
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr(module, "_silent", set())
    monkeypatch.setattr(module, "Store", lambda _uri, _experiment, beat: beat)
    monkeypatch.setattr(module, "Page", server.page)
    return server


@pytest.fixture
def progress() -> Progress:
    return Progress()


def _keeper(progress: Progress, *tunings: str) -> Stage:
    view = View("key", "name", {}, (), tunings=[Tuning(name, {}, {"epoch": []}) for name in tunings])
    return Stage(lambda: progress.added_to(view))


def _tell(progress: Progress, *names: str) -> None:
    for name in names:
        progress.told(Tuning(name, {}, {"epoch": []}))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _end(keeper: Stage, context: Recorder, status: str = "FINISHED") -> float:
    started = time.monotonic()
    keeper.finish(context, status)
    return time.monotonic() - started


AWAY = ConnectionError("away")


def test_what_is_told_is_shown_in_order_without_being_asked_for(server: Server, progress: Progress) -> None:
    keeper, context = _keeper(progress), Recorder()
    keeper.meet(context)
    _tell(progress, "a", "b")
    _until(lambda: server.shown == ["a", "b"])
    _tell(progress, "c")
    _until(lambda: server.shown == ["a", "b", "c"])
    _end(keeper, context)
    assert (server.ended, server.opened, context.warned) == (["FINISHED"], 1, [])


def test_what_the_tables_say_at_the_end_is_shown_whatever_was_seen_before(server: Server) -> None:
    tunings, looking = [Tuning("early", {}, {})], threading.Event()

    def look() -> View:
        view = View("key", "name", {}, (), tunings=list(tunings))
        looking.set()
        time.sleep(0.2)  # a look that began before the tables were written ends after it
        return view

    keeper = Stage(look)
    looking.wait()
    tunings.append(Tuning("late", {}, {}))
    _end(keeper, context := Recorder())
    assert (server.shown, server.ended, context.warned) == (["early", "late"], ["FINISHED"], [])


def test_a_server_that_is_away_holds_nobody_up_and_shows_everything_when_it_is_back(
    server: Server, progress: Progress
) -> None:
    server.trouble = AWAY
    keeper, context = _keeper(progress), Recorder()
    keeper.meet(context)
    _tell(progress, "a", "b")
    assert len(context.warned) == 1
    assert context.warned[0].startswith("MLflow at http://mlflow: away; nothing is lost: ")
    server.trouble = None
    _until(lambda: server.shown == ["a", "b"])
    _end(keeper, context)
    assert (server.ended, len(context.warned)) == (["FINISHED"], 1)


def test_a_server_that_stays_away_costs_a_stage_seconds_and_one_line(server: Server, progress: Progress) -> None:
    server.trouble = AWAY
    keeper, context = _keeper(progress), Recorder()
    keeper.meet(context)
    _tell(progress, "a")
    assert _end(keeper, context) < 5.0
    assert len(context.warned) == 1
    attempts = len(server.attempts)
    server.trouble = None
    time.sleep(0.6)
    assert (len(server.attempts), server.shown) == (attempts, []), "nobody waits any more"
    _end(_keeper(progress, "a"), context)  # the next stage, whose tables say it
    assert (server.shown, len(context.warned)) == (["a"], 1)


def test_a_short_break_is_not_even_mentioned(
    server: Server, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONTACT", 10.0)
    server.trouble = AWAY
    keeper, context = _keeper(progress, "a"), Recorder()
    threading.Timer(0.2, lambda: setattr(server, "trouble", None)).start()
    keeper.meet(context)
    _end(keeper, context)
    assert (server.shown, context.warned) == (["a"], [])


def test_a_break_while_a_stage_ends_is_waited_for(
    server: Server, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 10.0)
    keeper, context = _keeper(progress), Recorder()
    keeper.meet(context)
    server.trouble = AWAY
    _tell(progress, "a")
    threading.Timer(0.2, lambda: setattr(server, "trouble", None)).start()
    _end(keeper, context)
    assert (server.shown, server.ended, context.warned) == (["a"], ["FINISHED"], [])


def test_after_a_break_the_search_is_looked_up_anew(server: Server, progress: Progress) -> None:
    keeper, context = _keeper(progress), Recorder()
    keeper.meet(context)
    server.trouble = AWAY
    _tell(progress, "a")
    _until(lambda: len(server.attempts) > 3)
    server.trouble = None
    _until(lambda: server.shown == ["a"])
    before = server.opened
    assert before > 1, "what was known before may be wrong now"
    _end(keeper, context)
    # A request that was given up may have been carried out late: twins are looked for once more.
    assert server.opened == before + 1


def test_attempts_become_rarer(server: Server, progress: Progress) -> None:
    server.trouble = AWAY
    keeper = _keeper(progress, "a")
    _until(lambda: len(server.attempts) == 5)
    pauses = [after - before for before, after in zip(server.attempts, server.attempts[1:], strict=False)]
    for pause, wanted in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True):
        assert wanted <= pause < wanted + 5.0  # the machine may be busy
    _tell(progress, "b")  # no reason to try earlier
    _until(lambda: len(server.attempts) == 6)
    assert server.attempts[5] - server.attempts[4] >= 0.4
    server.trouble = None
    _end(keeper, Recorder())
    assert server.shown == ["b", "a"]


def test_a_server_that_hangs_is_waited_for_once(server: Server, progress: Progress) -> None:
    server.open.clear()
    started = time.monotonic()
    keeper, context = _keeper(progress, "a"), Recorder()
    keeper.meet(context)
    assert context.warned == [], "it may be slow"
    _end(keeper, context)
    first = time.monotonic() - started
    assert "MLflow does not answer; nothing is lost" in context.warned[0]
    second = _end(_keeper(progress, "a"), context)
    assert 0.6 <= first < 5.0
    assert second < first
    assert len(context.warned) == 2
    server.open.set()
    _end(_keeper(progress, "a"), context)
    assert (server.shown, server.ended, len(context.warned)) == (["a"], ["FINISHED"], 2)


def test_a_slow_upload_is_not_taken_for_a_hanging_server(
    server: Server, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upload(_: View) -> None:
        server.beat(3_000_000)
        time.sleep(1.5)

    monkeypatch.setattr(server, "show", upload)
    _end(_keeper(progress), context := Recorder())
    assert (server.ended, context.warned) == (["FINISHED"], [])


def test_a_long_record_is_waited_for_at_the_end_alone(
    server: Server, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(_: View) -> None:
        for _step in range(10):
            server.beat(0)
            time.sleep(0.2)

    monkeypatch.setattr(server, "show", show)
    monkeypatch.setattr(module, "CONTACT", 10.0)
    keeper, context = _keeper(progress), Recorder()
    started = time.monotonic()
    keeper.meet(context)
    assert time.monotonic() - started < 5.0, "it has answered"
    _end(keeper, context)
    assert (server.ended, context.warned) == (["FINISHED"], [])


def test_a_refusal_is_told_at_once_and_loses_nothing(server: Server, progress: Progress) -> None:
    server.trouble = ImportError("no such driver")
    keeper = _keeper(progress, "a")
    for attempt in (keeper.meet, keeper.finish):
        with pytest.raises(TrackingError, match=r"^MLflow at http://mlflow: no such driver; .*run again$"):
            attempt(Recorder())
    assert len(server.attempts) == 1, "it would be refused again"
    server.trouble = None
    _end(_keeper(progress, "a"), Recorder())
    assert server.shown == ["a"]


def test_a_defect_is_not_swallowed(server: Server, progress: Progress) -> None:
    server.trouble = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        _end(_keeper(progress, "a"), Recorder())


def test_a_run_that_somebody_deleted_is_looked_for_once(server: Server, progress: Progress) -> None:
    keeper = _keeper(progress)
    keeper.meet(context := Recorder())
    gone = KeyError("deleted")
    show = server.show

    def show_again(view: View) -> None:
        server.show = show  # type: ignore[method-assign]
        raise gone

    server.show = show_again  # type: ignore[method-assign]
    _tell(progress, "a")
    _end(keeper, context)
    assert (server.shown, server.opened, context.warned) == (["a"], 2, [])


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
@pytest.mark.parametrize("refused", [False, True])
def test_the_stages_own_error_is_the_one_to_tell(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], status: str, refused: bool
) -> None:
    params = read_params(ROOT / "params.yaml")
    monkeypatch.setattr(beside, "view_of", lambda *_: View("key", "name", {}, ()))
    with pytest.raises(error), beside.recording("evaluate", params, Recorder()):
        server.trouble = ImportError("refused") if refused else None
        raise error
    assert server.ended == ([] if refused else [status])


def test_of_several_processes_of_one_training_the_first_speaks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    params = read_params(ROOT / "params.yaml")
    with beside.recording("finetune", params, Recorder()) as progress:
        _tell(progress, "a")
    assert server.attempts == []


def test_what_another_stage_left_is_shown_first_and_forgotten(server: Server, progress: Progress) -> None:
    server.trouble = AWAY
    for name in ("first", "second"):
        Stage(lambda name=name: View("key", "name", {}, (), tunings=[Tuning(name, {}, {})]), name).finish(Recorder())
    assert server.shown == []
    assert len(unshown()) == 2
    server.trouble = None
    _end(_keeper(progress, "third"), context := Recorder())
    assert (server.shown, server.ended, context.warned) == (["first", "second", "third"], ["FINISHED"] * 3, [])
    assert unshown() == []


def test_what_cannot_be_shown_of_another_stage_is_named(server: Server, progress: Progress) -> None:
    server.trouble = AWAY
    Stage(lambda: View("key", "name", {}, (), tunings=[Tuning("a", {}, {})]), "first").finish(Recorder())
    server.trouble = None
    page = server.show

    def refuse(view: View) -> None:
        server.show = page  # type: ignore[method-assign]
        raise PermissionError("too long")

    server.show = refuse  # type: ignore[method-assign]
    with pytest.raises(TrackingError, match=r"too long; .*: delete \.eagleeye/unshown/first to go on without it$"):
        _end(_keeper(progress), Recorder())
    _end(_keeper(progress), Recorder())
    assert (server.shown, unshown()) == (["a"], [])
