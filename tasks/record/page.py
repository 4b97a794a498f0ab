"""The page of a search in MLflow: one parent run, one nested run per candidate and per fine-tuning.

`Page.show` brings them up to date with a view of the search, as often as one likes: runs are found by their tags and
completed, so that a search killed anywhere is recorded once. One process at a time may show a search.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pandas as pd

from tasks.artifacts import REFERENCE
from tasks.record import description
from tasks.record import texts as words
from tasks.record.api import Run
from tasks.record.curves import Curves
from tasks.record.entrance import NOTE, Entrance
from tasks.record.models import ONNX
from tasks.record.shown import Report, Tuning, Upload, View, Winner
from tasks.record.store import PARENT, Store, digest_of, finished
from tasks.record.texts import CANDIDATE, CHANGED, CLASSES, FINETUNE, SEARCH, UPLOADS, WINNER, Candidate, Terms
from tasks.record.tunings import Tunings

TABLES = "mlflow.loggedArtifacts"
IN_FRONT = ("rank", "id", "{}", "vanilla_{}", "images", "macs_fraction", "params_fraction")  # of the ranking's columns
CHAMPION = "champion"


class Page:
    """What MLflow shows of one search."""

    def __init__(self, store: Store, search_key: str, name: str, terms: Terms = CLASSES) -> None:
        """Find the search's runs, or create the parent; it shows as running.

        Args:
            store: Where they are.
            search_key: From `tasks.record.view.search_key`.
            name: Name of a new run, for people.
            terms: What its task calls its scores.
        """
        self._store = store
        self._key = search_key
        self._run = self._found(name)
        self.run_id = self._run.info.run_id
        self._name = name
        self._entrance = Entrance(store, self.run_id, name, terms)
        self._terms = terms
        self._ranked_by = terms.ranked_by
        store.update(self.run_id, status="RUNNING")
        self._nested = self._nested_runs()
        self._done = {key for key, run in self._nested.items() if finished(run)}
        self._images = {key: run.data.metrics.get("images", 0) for key, run in self._nested.items()}
        scored = [run for run in self._nested.values() if finished(run) and _competes(run)]
        scored.sort(key=lambda run: (run.info.end_time, run.info.run_name))
        self._shown: dict[str, object] = {}
        tunings = {key: run for key, run in self._nested.items() if FINETUNE in run.data.tags}
        self._tunings = Tunings(store, self.run_id, tunings, terms.final)
        scores = [(run.data.tags[CANDIDATE], run.data.metrics[self._ranked_by]) for run in scored]
        self._curves = Curves(store, self._run, terms, scores)

    def show(self, view: View) -> None:
        """Bring the runs up to date with a view; what they show already is left alone."""
        self._terms = view.terms
        if view.settings != self._shown.get("settings"):
            self._show_settings(view.settings)
            self._shown["settings"] = view.settings
        for facts in view.datasets:
            if facts != self._shown.get(facts["name"]):
                self._store.add_dataset(self.run_id, facts)
                self._shown[facts["name"]] = facts
        for candidate in view.candidates:
            self._show_candidate(candidate)
        self._curves.draw()
        self._curves.draw_generations(words.flatten(view.settings), ended=view.ranking is not None)
        if view.ranking and view.ranking != self._shown.get("ranking"):
            self._show_ranking(view.ranking)
            self._shown["ranking"] = view.ranking
        if view.networks and view.networks != self._shown.get("networks"):
            self._store.put_curves(self.run_id, _curves_of(view.networks))
            self._shown["networks"] = view.networks
        for tuning in view.tunings:
            if self._tunings.show(tuning) and not tuning.study:
                self._show_finals(tuning)
        if view.winner and view.winner != self._shown.get("winner"):
            self._show_winner(view.winner)
            self._shown["winner"] = view.winner
        for report in view.reports:
            if report != self._shown.get(report.name):
                self._show_report(report)
                self._shown[report.name] = report

    def end(self, status: str) -> None:
        """End the parent run, and fine-tunings that have come to no end: FINISHED, FAILED or KILLED."""
        self._tunings.close()
        parent = self._parent()
        data = parent.data
        networks = self._networks()
        title = description.title(self._name, networks, self._terms)
        if title != parent.info.run_name:
            self._store.update(self.run_id, name=title)
        told = description.describe(data.params, networks, data.tags, self._entrance.links(), self._terms)
        self._store.tag(self.run_id, NOTE, told)
        self._entrance.tell(title, networks, data.tags)
        self._store.end(self.run_id, status)

    def _show_settings(self, settings: Mapping[str, object]) -> None:
        # MLflow writes a param once. What has changed since (settings of later stages: the search's own would make it
        # another search) is told by the description and by the runs of the fine-tunings.
        params = words.flatten(settings)
        parent = self._parent()
        old = parent.data.params
        self._store.write(parent, {name: value for name, value in params.items() if name not in old}, [])
        changed = {name: value for name, value in params.items() if old.get(name, value) != value}
        if changed or CHANGED in parent.data.tags:
            self._store.tag(self.run_id, CHANGED, json.dumps(changed))

    def _show_candidate(self, candidate: Candidate) -> None:
        """A scored candidate in one run; what more images found replaces what fewer had shown."""
        images = candidate.images or 0
        if candidate.id not in self._done:
            self._add_candidate(candidate)
        elif images > self._images.get(candidate.id, 0):
            self._store.put_figures(self._nested[candidate.id].info.run_id, candidate.figures())
        self._images[candidate.id] = max(images, self._images.get(candidate.id, 0))
        self._entrance.offer_views(candidate)
        self._curves.draw_now_and_then()

    def _show_ranking(self, upload: Upload) -> None:
        """The ranking on the parent, and the winner's run marked."""
        ranking = pd.read_parquet(upload.path)
        with self._once("ranking", upload) as is_new:
            if is_new:
                self._show_table(_readable(ranking, self._ranked_by), "ranking.json")
                self._store.upload(self.run_id, upload.path)
        best = ranking[ranking["rank"] == 1].iloc[0]
        self._store.tag(self.run_id, WINNER, best["id"])
        self._name_candidates(best["id"])

    def _show_finals(self, tuning: Tuning) -> None:
        """Final figures on the candidate's run."""
        if tuning.candidate in self._nested:
            self._store.put_figures(self._nested[tuning.candidate].info.run_id, tuning.figures)

    def _networks(self) -> dict[str, dict[str, float]]:
        """Figures of the full, the even and the pruned network, as the search's run has them."""
        curves = self._store.curves(self.run_id, (*words.COSTS, *self._terms.finals, "latency_ms"))
        return {
            which: {name: points[step] for name, points in curves.items() if step in points}
            for step, which in enumerate(description.NETWORKS)
        }

    def _show_winner(self, winner: Winner) -> None:
        """The checkpoint as an artefact, the ONNX file as an MLflow model, registered as champion."""
        with self._once("checkpoint", winner.checkpoint) as is_new:
            if is_new:
                self._store.upload(self.run_id, winner.checkpoint.path, "checkpoint")
        content = digest_of(winner.onnx.read_bytes())
        model = self._store.models.add_onnx(self.run_id, winner.onnx, content)
        self._store.models.register(
            winner.registered, model, {SEARCH: self._key, ONNX: content, **winner.tags}, CHAMPION
        )

    def _show_report(self, report: Report) -> None:
        """The page, and its figures as a table: as metrics each of them would be a chart of one bar."""
        with self._once(report.name, report.folder) as is_new:
            if is_new:
                table = pd.DataFrame(report.figures.items(), columns=["figure", "value"])
                self._show_table(table, f"{report.name}.json")
                self._store.upload(self.run_id, report.folder.path, report.name)

    def _found(self, name: str) -> Run:
        found = self._store.find(f"tags.`{SEARCH}` = '{self._key}'")
        if not found:
            return self._store.create(name, {SEARCH: self._key})
        # Of twins, made by a request that was answered too late, the one that was used meanwhile.
        used, *twins = sorted(found, key=lambda run: len(run.data.params), reverse=True)
        for twin in twins:
            self._store.delete(twin.info.run_id)
        return used

    def _parent(self) -> Run:
        return self._store.get(self.run_id)

    def _nested_runs(self) -> dict[str, Run]:
        nested: dict[str, Run] = {}
        for run in sorted(self._store.find(f"tags.`{PARENT}` = '{self.run_id}'"), key=finished, reverse=True):
            key = run.data.tags.get(CANDIDATE) or run.data.tags.get(FINETUNE)
            if key in nested:  # a request that was answered too late, and therefore sent twice
                self._store.delete(run.info.run_id)
            elif key is not None:
                nested[key] = run
        return nested

    def _add_candidate(self, candidate: Candidate) -> None:
        score = candidate.scores[self._ranked_by]
        name = words.run_name(candidate.id, score)
        tags = {CANDIDATE: candidate.id, PARENT: self.run_id}
        # The duration that the UI shows is that of the evaluation, not of its recording.
        run = self._nested.get(candidate.id) or self._store.create(name, tags, candidate.seconds or 0.0)
        rates = {words.key(f"rate/{group}"): f"{rate:.4f}" for group, rate in candidate.rates.items()}
        self._store.write(run, {"origin": candidate.origin, **rates}, words.points_of(candidate.figures()))
        self._store.end(run.info.run_id)
        self._nested[candidate.id] = run
        self._done.add(candidate.id)
        if candidate.origin != REFERENCE:
            self._curves.add(candidate.id, score)

    def _name_candidates(self, winner: str) -> None:
        self._nested = self._nested_runs()
        for key, run in self._nested.items():
            if CANDIDATE in run.data.tags and self._ranked_by in run.data.metrics:
                name = words.run_name(key, run.data.metrics[self._ranked_by], winner=key == winner)
                if name != run.info.run_name:
                    self._store.update(run.info.run_id, name=name)

    def _show_table(self, table: pd.DataFrame, name: str) -> None:
        # Not MLflow's log_table, which appends to the table of an earlier call.
        self._store.upload_text(self.run_id, table.to_json(orient="split", index=False), name)
        known = json.loads(self._parent().data.tags.get(TABLES, "[]"))
        entry = {"path": name, "type": "table"}
        if entry not in known:
            self._store.tag(self.run_id, TABLES, json.dumps([*known, entry]))

    @contextmanager
    def _once(self, name: str, upload: Upload) -> Iterator[bool]:
        """Whether the parent lacks this content yet; noted there when the block has uploaded it."""
        content = upload.content
        known = json.loads(self._parent().data.tags.get(UPLOADS, "{}"))
        is_new = known.get(name) != content
        yield is_new
        if is_new:
            self._store.tag(self.run_id, UPLOADS, json.dumps({**known, name: content}))


def _curves_of(networks: Mapping[str, Mapping[str, float]]) -> dict[str, dict[int, float]]:
    """Each figure as a curve from the full network to the pruned one: drawn as a line; tables show its last value."""
    curves: dict[str, dict[int, float]] = {}
    for step, which in enumerate(description.NETWORKS):
        for name, value in networks.get(which, {}).items():
            curves.setdefault(name, {})[step] = words.readable(name, value)
    return curves


def _readable(ranking: pd.DataFrame, ranked_by: str) -> pd.DataFrame:
    """The ranking as a page shows it: places, scores and costs in front; nothing that takes more than a cell."""
    shown = ranking.drop(columns=["rates", "widths"], errors="ignore")
    front = [name.format(ranked_by) for name in IN_FRONT if name.format(ranked_by) in shown]
    return shown[[*front, *(name for name in shown if name not in front)]]


def _competes(run: Run) -> bool:
    return CANDIDATE in run.data.tags and run.data.params.get("origin") != REFERENCE
