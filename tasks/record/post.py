"""Where the courier takes records to: the search that each is of, in the store that the settings name."""

from tasks.record.faults import told_apart
from tasks.record.outbox import Entry, TrackingError
from tasks.record.page import SearchRun
from tasks.record.store import Store


class SearchPost:
    """Delivers records to the searches that they are of, in the store that the settings name."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self.destination = ("", "")
        self._open: tuple[tuple[str, str, str], SearchRun] | None = None
        self._disturbed = False

    def deliver(self, entry: Entry) -> None:
        """Deliver a record; see `tasks.record.courier.Post`.

        Args:
            entry: The record.
        """
        place = (*self.destination, entry.key)
        if entry.method == "begin" or (entry.method == "end" and self._disturbed):
            # Requests that were given up may have been carried out all the same: opening the search removes twins.
            self._open, self._disturbed = None, False
        was_open = self._open is not None and self._open[0] == place
        try:
            self._call(place, entry)
        except TrackingError:
            if not was_open:
                raise
            # Somebody may have deleted a run that was known: look again before complaining.
            self.forget()
            self._call(place, entry)

    def forget(self) -> None:
        """Look for the search's runs again before the next record."""
        self._open, self._disturbed = None, True

    def _call(self, place: tuple[str, str, str], entry: Entry) -> None:
        uri, experiment, key = place
        with told_apart(uri):
            if self._open is None or self._open[0] != place:
                self._open = place, SearchRun(Store(uri, experiment), key, entry.name)
            getattr(self._open[1], entry.method)(**entry.arguments)
