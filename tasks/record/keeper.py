"""A thread that keeps MLflow up to date, for which nobody waits longer than MLflow is worth."""

import threading
import time
from collections.abc import Callable

from tasks.params import Tracking
from tasks.record.faults import TrackingError, Unavailable, told_apart
from tasks.record.page import Page
from tasks.record.shown import View
from tasks.record.store import Store
from tasks.record.unshown import Unshown, unshown
from tasks.run.context import Context

LOOK = 2.0  # seconds between looks while all is well
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0  # seconds between attempts, doubling
CONTACT = 5.0  # seconds to find out whether MLflow takes records at all
GRACE = 5.0  # seconds that trouble may last before nobody waits for its end
PATIENCE = 15.0  # seconds without an answer after which nobody waits for one
IMPATIENCE = 5.0  # the same where it was waited for in vain before
SLOWEST = 1e6  # bytes per second that a line is expected to carry

_one_at_a_time = threading.Lock()
_silent: set[tuple[str, str]] = set()  # stores that have not answered since they were waited for in vain


class Keeper:
    """One thread that brings MLflow up to date now and then, and once more when the stage ends."""

    def __init__(self, tracking: Tracking, kept: Unshown | None, look: Callable[[], View | None]) -> None:
        """Start the thread; it ends with the stage.

        Args:
            tracking: Where MLflow is.
            kept: What of the stage MLflow is still to be shown; what else there is is shown first.
            look: Gives the view of what there is so far.
        """
        self._place = (tracking.uri, tracking.experiment)
        self._kept = kept
        self._look = look
        self._page: Page | None = None
        self._changed = threading.Condition()
        self._last: tuple[View | None, str] | None = None  # what the stage has ended with
        self._met = self._done = self._left = self._told = self._disturbed = False
        self._fault: BaseException | None = None
        self._trouble = ""
        self._failed = 0.0  # why the last attempt failed, and when
        self._since: float | None = None  # when the first one failed after the last that did not
        self._due = time.monotonic() + self._patience()  # when an answer is due
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    def meet(self, context: Context) -> None:
        """Wait a moment until MLflow has answered: a refusal is to be told before the work begins.

        Args:
            context: Warned if it does not answer.

        Raises:
            TrackingError: It refuses.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._met or self._fault is not None, timeout=CONTACT)
            self._tell(context)

    def end(self, view: View | None, status: str, context: Context) -> None:
        """Show how the stage ended, and wait until all is shown if MLflow answers.

        Args:
            view: All that is to be shown of it; kept at once.
            status: FINISHED, FAILED or KILLED.
            context: Warned if MLflow does not answer.

        Raises:
            TrackingError: It refuses.
            ArtifactError: The view cannot be kept.
        """
        if self._kept and view:
            self._kept.put(view, status)
        with self._changed:
            begun = time.monotonic()
            self._last = (view, status)
            self._due = max(self._due, begun + CONTACT)  # the thread may be asleep, and the machine busy
            self._changed.notify_all()
            while not self._done and self._fault is None and not self._left:
                self._changed.wait(0.05)
                self._left = self._is_to_be_left(begun)
            self._tell(context)

    def _is_to_be_left(self, begun: float) -> bool:
        now = time.monotonic()
        if now > self._due:
            _silent.add(self._place)
            self._trouble = self._trouble or "MLflow does not answer"
            return not self._done
        lasted = self._since is not None and now > self._since + GRACE
        return bool(self._trouble) and self._failed > begun and lasted

    def _tell(self, context: Context) -> None:
        if self._fault is not None:
            raise self._fault
        if self._trouble and not self._told and not self._done:
            self._told = True
            context.warn(
                f"{self._trouble}; nothing is lost: the record is brought up to date when it answers, by this run, the"
                " next one, or `python -m tasks record`"
            )

    def _work(self) -> None:
        delay = LOOK
        while True:
            last = self._last
            try:
                with _one_at_a_time:
                    self._bring_up_to_date(last)
            except _Left:
                return
            except Unavailable as error:
                delay = min(2 * delay, LONGEST_DELAY) if self._since is not None else FIRST_DELAY
                self._put_off(str(error))
            except BaseException as error:  # told to whoever waits, defects of our own as well
                self._fault = error
            else:
                delay = LOOK
                self._trouble, self._since, self._done = "", None, last is not None
            if self._rest(last, delay):
                return

    def _put_off(self, trouble: str) -> None:
        self._page = None
        self._disturbed = True
        self._failed = time.monotonic()
        self._since = self._failed if self._since is None else self._since
        self._trouble = trouble

    def _rest(self, last: object, delay: float) -> bool:
        """Wait until it is time for the next attempt; whether there is none."""
        with self._changed:
            self._changed.notify_all()
            if self._fault is None and not self._done:
                self._changed.wait_for(lambda: self._last is not last or self._left, timeout=delay)
            return self._fault is not None or self._done or self._left

    def _bring_up_to_date(self, last: tuple[View | None, str] | None) -> None:
        self._beat()
        view, status = last or (self._look(), "")
        with told_apart(self._place[0]):
            for missed in unshown():
                if missed != self._kept:
                    self._show_missed(missed)
            if view is not None:
                self._show_own(view, status)

    def _show_missed(self, missed: Unshown) -> None:
        view, status = missed.read()
        page = self._open(view)
        try:
            with told_apart(self._place[0]):
                page.show(view)
                page.end(status)
        except TrackingError as error:
            raise TrackingError(f"{error}; MLflow had missed it before: delete {missed} to go on without it") from error
        missed.forget()

    def _show_own(self, view: View, status: str) -> None:
        if status and self._disturbed:
            # Requests that were given up may have been carried out all the same: opening the search removes twins.
            self._page = None
            self._disturbed = False
        was_open = self._page is not None
        try:
            self._show(view, status)
        except Exception:
            if not was_open:
                raise
            # Somebody may have deleted a run that was known: look again before complaining.
            self._page = None
            self._show(view, status)
        if status and self._kept:
            self._kept.forget()

    def _show(self, view: View, status: str) -> None:
        self._page = self._page or self._open(view)
        self._page.show(view)
        if status:
            self._page.end(status)

    def _open(self, view: View) -> Page:
        page = Page(Store(*self._place, self._beat), view.key, view.name, view.terms)
        _silent.discard(self._place)
        with self._changed:
            self._met = True
            self._trouble = ""
            self._changed.notify_all()
        return page

    def _beat(self, size: int = 0) -> None:
        """The store is asked for something: an answer is due in a while."""
        if self._left:
            raise _Left
        self._due = time.monotonic() + self._patience() + size / SLOWEST

    def _patience(self) -> float:
        return IMPATIENCE if self._place in _silent else PATIENCE


class _Left(BaseException):
    """Nobody waits any more."""
