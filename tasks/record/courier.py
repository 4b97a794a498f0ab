"""Delivers the outbox in the background, so that a search neither waits for MLflow nor fails without it."""

import math
import threading
import time
import uuid
from typing import Generic, Protocol, TypeVar

from filelock import FileLock

from tasks.record.outbox import Entry, Outbox

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds between attempts, doubling
GRACE = 5.0  # seconds that trouble may last before nobody waits for its end
MOMENT = 1.0  # seconds for one more attempt where trouble has lasted
PATIENCE = 15.0  # seconds without an answer after which nobody waits for one
SLOWEST = 1e6  # bytes per second that a line is expected to carry


class Unavailable(Exception):  # noqa: N818 - no error: it passes
    """MLflow does not answer now, and may answer later."""


class Post(Protocol):
    """What takes records to where they belong."""

    def deliver(self, entry: Entry) -> None:
        """Deliver a record; one that was delivered already changes nothing.

        Raises:
            Unavailable: Try again later.
            TrackingError: It will fail in the same way again.
        """
        ...

    def forget(self) -> None:
        """Forget what is known of the other side: it may have changed."""
        ...


AnyPost = TypeVar("AnyPost", bound=Post)


class Courier(Generic[AnyPost]):
    """One thread that takes record after record to MLflow, trying again while it does not answer.

    Of several processes in a folder one delivers at a time, what others append as well.
    """

    def __init__(self, outbox: Outbox, post: AnyPost) -> None:
        """Start the thread; it ends with the process.

        Args:
            outbox: What is to be delivered.
            post: Delivers a record.
        """
        self.outbox = outbox
        self.post = post
        self._lock = FileLock(outbox.path.with_suffix(".lock"), poll_interval=0.2)
        self._token = uuid.uuid4().hex
        self._changed = threading.Condition()
        self._wanted = self._hurried = False
        self._fault: BaseException | None = None
        self._trouble, self._since = "", 0.0
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    @property
    def trouble(self) -> str:
        """Why nothing is delivered at the moment, where that has lasted; empty otherwise."""
        with self._changed:
            return self._trouble if time.monotonic() - self._since > GRACE else ""

    def wake(self) -> None:
        """There is something to deliver.

        Raises:
            TrackingError: An earlier record cannot be delivered as the settings are.
        """
        with self._changed:
            if self._fault is not None:
                raise self._fault
            self._wanted = True
            self._changed.notify_all()

    def hurry(self) -> None:
        """Try now, whatever happened before."""
        with self._changed:
            self._fault = None
            self._wanted = self._hurried = True
            self._changed.notify_all()

    def wait(self, at_most: float = math.inf) -> str:
        """Wait until everything is delivered, or it shows that this would take too long.

        Args:
            at_most: Seconds, however well it goes.

        Returns:
            Why records are left; empty where none are.

        Raises:
            TrackingError: A record cannot be delivered as the settings are.
        """
        left, moved = self.outbox.count(), time.monotonic()
        if self.trouble:
            self.hurry()
        begun = time.monotonic()
        while entry := self.outbox.first():
            now, count = time.monotonic(), self.outbox.count()
            if count < left:  # another process may be the one that delivers
                left, moved = count, now
            with self._changed:
                if self._fault is not None:
                    raise self._fault
                if now - begun > at_most:
                    return f"{count:,} records are on their way"
                if self._trouble and now > max(self._since + GRACE, begun + MOMENT):
                    return self._trouble
                if not self._trouble and now - moved > PATIENCE + entry.size / SLOWEST:
                    self._trouble, self._since = f"no answer for {now - moved:.0f} s", now - GRACE
                self._changed.wait(0.05)
        return ""

    def _work(self) -> None:
        delay = None
        while True:
            self._rest(delay)
            try:
                with self._lock:
                    self._deliver_all()
            except Unavailable as error:
                self.post.forget()
                delay = min(2 * delay, LONGEST_DELAY) if delay else FIRST_DELAY
                with self._changed:
                    self._trouble, self._since = str(error), self._since if self._trouble else time.monotonic()
                    self._changed.notify_all()
            except BaseException as error:  # told to whoever records next, defects of our own as well
                self.post.forget()
                delay = None
                with self._changed:
                    self._fault = error
                    self._changed.notify_all()
            else:
                delay = None

    def _rest(self, delay: float | None) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._hurried or (delay is None and self._wanted and self._fault is None), timeout=delay
            )
            self._wanted = self._hurried = False

    def _deliver_all(self) -> None:
        if not self.outbox.claim(self._token):
            self.post.forget()
        while entry := self.outbox.first():
            self.post.deliver(entry)
            self.outbox.remove(entry.number)
            with self._changed:
                self._trouble = ""
                self._changed.notify_all()
