"""The page of a search in MLflow: one parent run, one nested run per candidate and per fine-tuning.

`Page.show` brings them up to date with a view of the search, as often as one likes: runs are found by their tags and
completed, so that a search killed anywhere is recorded once. One process at a time may show a search.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate

import pandas as pd

from eagleeye.task.classification import SCORERS
from tasks.artifacts import REFERENCE
from tasks.record import texts as words
from tasks.record.shown import Report, Tuning, Upload, View, Winner
from tasks.record.store import ONNX, PARENT, Run, Store, digest_of, finished, now
from tasks.record.texts import CANDIDATE, CHANGED, FINETUNE, SEARCH, UPLOADS, WINNER, Candidate
from tasks.record.tunings import Tunings

VIEW = "mlflow.sharedViewState."
NOTE, TABLES = "mlflow.note.content", "mlflow.loggedArtifacts"
BEST, EACH = "candidates/best_{}", "candidates/{}"  # of the score that ranks: a section of charts, and the first
RANKED_BY = "rank.by"  # the setting, as a param of the parent
STEPS_PER_BATCH = 500
SECONDS_BETWEEN_CHARTS = 1.0
CHAMPION = "champion"


class Page:
    """What MLflow shows of one search."""

    def __init__(self, store: Store, search_key: str, name: str) -> None:
        """Find the search's runs, or create the parent; it shows as running.

        Args:
            store: Where they are.
            search_key: From `tasks.record.view.search_key`.
            name: Name of a new run, for people.
        """
        self._store = store
        self._key = search_key
        self._run = self._found(name)
        self.run_id = self._run.info.run_id
        self._view = f"{VIEW}{self.run_id}"
        self._ranked_by = self._run.data.params.get(RANKED_BY, "accuracy")
        store.update(self.run_id, status="RUNNING")
        self._nested = self._nested_runs()
        self._done = {key for key, run in self._nested.items() if finished(run)}
        self._images = {key: run.data.metrics.get("images", 0) for key, run in self._nested.items()}
        scored = [run for run in self._nested.values() if finished(run) and _competes(run)]
        scored.sort(key=lambda run: (run.info.end_time, run.info.run_name))
        self._scores = [run.data.metrics[self._ranked_by] for run in scored]
        self._shown: dict[str, object] = {}
        tunings = {key: run for key, run in self._nested.items() if FINETUNE in run.data.tags}
        self._tunings = Tunings(store, self.run_id, tunings)
        self._charted, self._viewed = store.steps(self.run_id, BEST.format(self._ranked_by)), False
        self._chart()

    def show(self, view: View) -> None:
        """Bring the runs up to date with a view; what they show already is left alone."""
        if view.settings != self._shown.get("settings"):
            self._show_settings(view.settings)
            self._shown["settings"] = view.settings
        for facts in view.datasets:
            if facts != self._shown.get(facts["name"]):
                self._store.add_dataset(self.run_id, facts)
                self._shown[facts["name"]] = facts
        for candidate in view.candidates:
            self._show_candidate(candidate)
        self._chart()
        if view.ranking and view.ranking != self._shown.get("ranking"):
            self._show_ranking(view.ranking)
            self._shown["ranking"] = view.ranking
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
        data = self._parent().data
        self._store.tag(self.run_id, NOTE, words.describe(data.params, data.metrics, data.tags, self._links()))
        self._store.end(self.run_id, status)

    def _show_settings(self, settings: Mapping[str, object]) -> None:
        # MLflow writes a param once. What has changed since (settings of later stages: the search's own would make it
        # another search) is told by the description and by the runs of the fine-tunings.
        params = words.flatten(settings)
        self._ranked_by = params.get(RANKED_BY, self._ranked_by)
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
        if not self._viewed:
            self._offer_view(candidate)
        if time.monotonic() - self._charted_at > SECONDS_BETWEEN_CHARTS:
            self._chart()

    def _show_ranking(self, upload: Upload) -> None:
        """The ranking on the parent, and the winner's run marked."""
        ranking = pd.read_parquet(upload.path)
        with self._once("ranking", upload) as is_new:
            if is_new:
                self._show_table(ranking.drop(columns=["rates", "widths"], errors="ignore"), "ranking.json")
                self._store.upload(self.run_id, upload.path)
        best = ranking[ranking["rank"] == 1].iloc[0]
        self._store.tag(self.run_id, WINNER, best["id"])
        self._name_candidates(best["id"])
        figures = {name: best[name] for name in words.FIGURES if name in best and pd.notna(best[name])}
        costs = {name: figures.pop(name) for name in words.COSTS}
        self._store.put_figures(self.run_id, {**costs, **{f"winner/{name}": value for name, value in figures.items()}})

    def _show_finals(self, tuning: Tuning) -> None:
        """Final figures on the candidate's run, and on the search's where it is the winner."""
        if tuning.candidate in self._nested:
            self._store.put_figures(self._nested[tuning.candidate].info.run_id, tuning.figures)
        if self._parent().data.tags.get(WINNER) == tuning.candidate:
            self._store.put_figures(self.run_id, {"final_accuracy": tuning.figures["final_accuracy"]})

    def _show_winner(self, winner: Winner) -> None:
        """The checkpoint as an artefact, the ONNX file as an MLflow model, registered as champion."""
        with self._once("checkpoint", winner.checkpoint) as is_new:
            if is_new:
                self._store.upload(self.run_id, winner.checkpoint.path, "checkpoint")
        content = digest_of(winner.onnx.read_bytes())
        model = self._store.add_onnx(self.run_id, winner.onnx, content)
        self._store.register(winner.registered, model, {SEARCH: self._key, ONNX: content, **winner.tags}, CHAMPION)

    def _show_report(self, report: Report) -> None:
        """Figures by name, which fill the description's table, and the page."""
        self._store.put_figures(self.run_id, {f"{report.name}/{name}": value for name, value in report.figures.items()})
        with self._once(report.name, report.folder) as is_new:
            if is_new:
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
            self._scores.append(score)

    def _offer_view(self, candidate: Candidate) -> None:
        if self._view not in self._store.experiment_tags():
            name = f"{self._parent().info.run_name}: candidates"
            view = words.candidates_view(name, self.run_id, candidate, now(), self._ranked_by)
            self._store.tag_experiment(self._view, view)
        self._viewed = True

    def _links(self) -> dict[str, str]:
        page = f"#/experiments/{self._store.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey="
        page += self._view.removeprefix(VIEW)
        return {"Candidates, best first": page, "Charts of the best": f"{page}&compareRunsMode=CHART"}

    def _name_candidates(self, winner: str) -> None:
        self._nested = self._nested_runs()
        for key, run in self._nested.items():
            if CANDIDATE in run.data.tags and self._ranked_by in run.data.metrics:
                name = words.run_name(key, run.data.metrics[self._ranked_by], winner=key == winner)
                if name != run.info.run_name:
                    self._store.update(run.info.run_id, name=name)

    def _chart(self) -> None:
        """Bring the parent's curves up to date: scores in the order of scoring, and the best so far."""
        better = max if SCORERS[self._ranked_by].sign > 0 else min
        curves = {EACH: self._scores, BEST: list(accumulate(self._scores, better))}
        curves = {name.format(self._ranked_by): curve for name, curve in curves.items()}
        while self._charted < len(self._scores):
            rows = range(self._charted, min(self._charted + STEPS_PER_BATCH, len(self._scores)))
            points = [(name, curve[row], row + 1) for row in rows for name, curve in curves.items()]
            self._store.write(self._run, {}, points)
            self._charted = rows.stop
        self._charted_at = time.monotonic()

    def _show_table(self, table: pd.DataFrame, name: str) -> None:
        # Not MLflow's log_table, which appends to the table of an earlier call.
        self._store.upload_text(self.run_id, table.to_json(orient="split", index=False), name)
        self._store.tag(self.run_id, TABLES, json.dumps([{"path": name, "type": "table"}]))

    @contextmanager
    def _once(self, name: str, upload: Upload) -> Iterator[bool]:
        """Whether the parent lacks this content yet; noted there when the block has uploaded it."""
        content = upload.content
        known = json.loads(self._parent().data.tags.get(UPLOADS, "{}"))
        is_new = known.get(name) != content
        yield is_new
        if is_new:
            self._store.tag(self.run_id, UPLOADS, json.dumps({**known, name: content}))


def _competes(run: Run) -> bool:
    return CANDIDATE in run.data.tags and run.data.params.get("origin") != REFERENCE
