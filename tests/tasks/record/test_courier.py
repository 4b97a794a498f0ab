import threading
import time

import pytest
from filelock import FileLock

from tasks.record import courier as module
from tasks.record.courier import Courier, Unavailable
from tasks.record.outbox import Outbox, TrackingError


class Server:
    """Takes records as long as it is well; each counts once, as in MLflow."""

    def __init__(self) -> None:
        self.trouble: BaseException | None = None
        self.attempts: list[float] = []
        self.taken: list[int] = []
        self.forgot = 0
        self.open = threading.Event()
        self.open.set()

    def deliver(self, entry) -> None:
        self.attempts.append(time.monotonic())
        self.open.wait()
        if self.trouble is not None:
            raise self.trouble
        self.taken.append(entry.arguments["number"])

    def forget(self) -> None:
        self.forgot += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in (("FIRST_DELAY", 0.1), ("LONGEST_DELAY", 0.4), ("GRACE", 0.3), ("PATIENCE", 0.5)):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "outbox.sqlite")


@pytest.fixture
def courier(server, outbox):
    return Courier(outbox, server)


def _put(courier: Courier, *numbers: int) -> None:
    for number in numbers:
        courier.outbox.append("key", "name", "log", {"number": number})
        courier.wake()


def _until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_records_are_delivered_in_order_without_being_asked_for(courier, server):
    _put(courier, *range(20))
    _until(lambda: server.taken == list(range(20)))
    assert courier.wait() == ""


def test_what_waited_before_the_process_began_comes_first(outbox, server):
    outbox.append("key", "name", "log", {"number": 1})
    courier = Courier(outbox, server)
    _put(courier, 2)
    assert courier.wait() == ""
    assert server.taken == [1, 2]


def test_a_server_that_is_down_holds_nobody_up_and_gets_everything_when_it_is_back(courier, server):
    server.trouble = Unavailable("away")
    started = time.monotonic()
    _put(courier, 1, 2)
    assert courier.wait() == "away"
    assert time.monotonic() - started < 2.5
    _until(lambda: courier.trouble == "away")
    _put(courier, 3)
    server.trouble = None
    _until(lambda: server.taken == [1, 2, 3])
    assert (courier.wait(), courier.trouble) == ("", "")
    assert server.forgot > 0, "what was known before may be wrong now"


def test_a_short_break_is_not_even_mentioned(courier, server):
    server.trouble = Unavailable("restarting")
    threading.Timer(0.2, lambda: setattr(server, "trouble", None)).start()
    _put(courier, 1)
    assert courier.wait() == ""


def test_attempts_become_rarer(courier, server, monkeypatch):
    server.trouble = Unavailable("away")
    _put(courier, 1)
    _until(lambda: len(server.attempts) == 5)
    pauses = [after - before for before, after in zip(server.attempts, server.attempts[1:], strict=False)]
    for pause, wanted in zip(pauses, (0.1, 0.2, 0.4, 0.4), strict=True):
        assert wanted <= pause < wanted + 1.0  # the machine may be busy
    _put(courier, 2)  # no reason to try earlier
    time.sleep(0.1)
    assert len(server.attempts) == 5


def test_a_server_that_hangs_is_waited_for_once(courier, server):
    server.open.clear()
    started = time.monotonic()
    _put(courier, 1)
    assert "no answer" in courier.wait()
    first = time.monotonic() - started
    assert courier.wait()
    assert 0.5 <= first < 2.0
    assert time.monotonic() - started - first < 1.5
    server.open.set()
    _until(lambda: server.taken == [1])
    assert courier.wait() == ""


def test_a_slow_upload_is_not_taken_for_a_hanging_server(courier, server, tmp_path):
    (tmp_path / "file").write_bytes(b"0" * 3_000_000)
    server.open.clear()
    threading.Timer(1.5, server.open.set).start()
    courier.outbox.append("key", "name", "log", {"number": 1}, {"path": tmp_path / "file"})
    courier.wake()
    assert courier.wait() == ""


def test_a_long_queue_need_not_be_waited_for(courier, server):
    server.deliver = lambda entry: time.sleep(0.2)
    _put(courier, *range(20))
    started = time.monotonic()
    assert "records are on their way" in courier.wait(at_most=0.5)
    assert time.monotonic() - started < 2.0
    assert courier.wait() == ""


def test_a_refusal_is_told_at_once_and_to_everybody_and_loses_nothing(courier, server, outbox):
    server.trouble = TrackingError("no such driver")
    outbox.append("key", "name", "log", {"number": 1})
    courier.wake()
    for attempt in (courier.wait, courier.wait, courier.wake):
        with pytest.raises(TrackingError, match="no such driver"):
            attempt()
    assert len(server.attempts) == 1, "it would be refused again"
    server.trouble = None
    courier.hurry()
    assert courier.wait() == ""
    assert server.taken == [1]


def test_a_defect_is_not_swallowed(courier, server):
    server.trouble = ZeroDivisionError()
    courier.outbox.append("key", "name", "log", {"number": 1})
    courier.wake()
    with pytest.raises(ZeroDivisionError):
        courier.wait()


def test_of_two_processes_one_delivers_for_both(server, outbox, tmp_path):
    with FileLock(tmp_path / "outbox.lock"):  # as another process holds it
        courier = Courier(outbox, server)
        _put(courier, 1, 2)
        time.sleep(0.3)
        assert server.taken == []
        threading.Timer(0.2, lambda: outbox.remove(outbox.first().number)).start()
        threading.Timer(0.6, lambda: outbox.remove(outbox.first().number)).start()
        assert courier.wait() == "", "the other one gets on"
    assert server.taken == []


def test_what_is_known_is_forgotten_when_another_process_delivered_in_between(courier, server, tmp_path):
    _put(courier, 1)
    assert courier.wait() == ""
    before = server.forgot
    _put(courier, 2)
    assert courier.wait() == ""
    assert server.forgot == before
    with FileLock(tmp_path / "outbox.lock"):
        Outbox(tmp_path / "outbox.sqlite").claim("another process")
    _put(courier, 3)
    assert courier.wait() == ""
    assert server.forgot == before + 1
