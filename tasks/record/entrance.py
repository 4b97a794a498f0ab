"""The ways to a search's page: the address that is printed, saved views, the line on the page of runs."""

from collections.abc import Mapping

from tasks.params import Tracking
from tasks.record import description
from tasks.record.saved_views import candidates_view, searches_view, tunings_view
from tasks.record.store import Store, now
from tasks.record.texts import WINNER, Candidate, Terms

NOTE = "mlflow.note.content"
VIEW = "mlflow.sharedViewState."  # before a view's key, in the tags of the experiment
SEARCHES = "searches"
TUNINGS = "-fine-tunings"  # keys: of the view of all searches; of one's, behind its run id
LAST = "eagleeye.last"  # tag of the experiment: run id of the search that was shown last
TRAINING = "workflowType=machine_learning"  # the UI's other half is about language models, and does not show it all


def address(tracking: Tracking, page: str) -> str:
    """Where a browser finds the search that was shown last, or the list of searches.

    Args:
        tracking: Where MLflow's record is.
        page: Address of MLflow's pages.

    Raises:
        TrackingError: The store refuses.
    """
    store = Store(tracking.uri, tracking.experiment)
    tags = store.experiment_tags()
    last = tags.get(LAST)
    there = f"{page.rstrip('/')}/#/experiments/{store.experiment_id}"
    if last and store.is_there(last):
        return f"{there}/runs/{last}?{TRAINING}"
    view = f"&viewStateShareKey={SEARCHES}" if VIEW + SEARCHES in tags else ""
    return f"{there}/runs?{TRAINING}{view}"


class Entrance:
    """What the experiment has that leads to one search."""

    def __init__(self, store: Store, run_id: str, name: str, terms: Terms) -> None:
        """From now on this search is the last one.

        Args:
            store: Where it is.
            run_id: Its run.
            name: Its name, for people.
            terms: What its task calls its scores.
        """
        self._store = store
        self._run_id = run_id
        self._name = name
        self._complete = False
        self._terms = terms
        missing = {} if VIEW + SEARCHES in self._tags() else {VIEW + SEARCHES: searches_view(now(), terms)}
        self._tag({LAST: run_id, **missing})

    def offer_views(self, candidate: Candidate) -> None:
        """Save the views of the search's candidates and fine-tunings, unless they are there.

        Args:
            candidate: One of them, for the names of the groups and what is measured.
        """
        if self._complete:
            return
        key = VIEW + self._run_id
        tags = self._tags()
        if key not in tags:
            view = candidates_view(f"{self._name}: candidates", self._run_id, candidate, now(), self._terms)
            self._tag({key: view})
        if key + TUNINGS not in tags:
            self._tag({key + TUNINGS: tunings_view(f"{self._name}: fine-tunings", self._run_id, now(), self._terms)})
        self._complete = True

    def links(self) -> dict[str, str]:
        """Addresses of the search's views, by what they show."""
        runs = f"#/experiments/{self._store.experiment_id}/runs?{TRAINING}&viewStateShareKey="
        charts = "&compareRunsMode=CHART"
        return {
            "Candidates, by score": runs + self._run_id,
            "Charts of the best": runs + self._run_id + charts,
            "Fine-tuning": runs + self._run_id + TUNINGS + charts,
        }

    def tell(self, title: str, networks: Mapping[str, Mapping[str, float]], tags: Mapping[str, str]) -> None:
        """Say on the page of runs what came of the search; a description of somebody's own is left alone.

        Args:
            title: From `tasks.record.description.title`.
            networks: Figures by one of `tasks.record.description.NETWORKS`.
            tags: The search's.
        """
        if not (known := self._tags().get(NOTE, "")).startswith(description.LAST) and known:
            return
        there = f"#/experiments/{self._store.experiment_id}/runs"
        search = f"{there}/{self._run_id}?{TRAINING}"
        searches = f"{there}?{TRAINING}&viewStateShareKey={SEARCHES}"
        pruned = networks.get("pruned", {})
        self._tag({NOTE: description.describe_experiment(title, search, searches, pruned, tags.get(WINNER))})

    def _tags(self) -> Mapping[str, str]:
        return self._store.experiment_tags()

    def _tag(self, wanted: Mapping[str, str]) -> None:
        known = self._tags()
        for name, value in wanted.items():
            if known.get(name) != value:
                self._store.tag_experiment(name, value)
