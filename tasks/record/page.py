"""The record of a search in MLflow: one parent run, one nested run per candidate and per fine-tuning.

Every method may be called again with the same content: runs are found by their tags and completed, so that a search
killed anywhere is recorded once. Only one process at a time may record a search, see `tasks.record.courier`.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd

from eagleeye.scoring.scores import SCORERS
from tasks.artifacts import REFERENCE
from tasks.record import texts as words
from tasks.record.store import ONNX, Run, Store, digest_of, now
from tasks.record.texts import CANDIDATE, CHANGED, FINETUNE, OUTCOME, SEARCH, STUDY, UPLOADS, WINNER, Candidate
from tasks.state.content_key import content_key

VIEW = "mlflow.sharedViewState."
PARENT, NOTE, TABLES = "mlflow.parentRunId", "mlflow.note.content", "mlflow.loggedArtifacts"
BEST, EACH = "candidates/best_{}", "candidates/{}"  # of the score that ranks: a section of charts, and the first
RANKED_BY = "rank.by"  # the setting, as a param of the parent
STEPS_PER_BATCH = 500
SECONDS_BETWEEN_CHARTS = 1.0
CHAMPION = "champion"


class SearchRun:
    """The record of one search."""

    def __init__(self, store: Store, search_key: str, name: str) -> None:
        """Find the search's runs, or create the parent; it shows as running.

        Args:
            store: Where they are.
            search_key: From `tasks.state.content_key.content_key`.
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
        self._done = {key for key, run in self._nested.items() if _finished(run)}
        self._images = {key: run.data.metrics.get("images", 0) for key, run in self._nested.items()}
        scored = [run for run in self._nested.values() if _finished(run) and _competes(run)]
        scored.sort(key=lambda run: (run.info.end_time, run.info.run_name))
        self._scores = [run.data.metrics[self._ranked_by] for run in scored]
        self._charted, self._viewed = store.steps(self.run_id, BEST.format(self._ranked_by)), False
        self._chart()

    def begin(self) -> None:
        """The search is at work: what making this object has shown."""

    def end(self, status: str) -> None:
        """End the parent run: FINISHED, FAILED or KILLED."""
        self._chart()
        data = self._parent().data
        self._store.tag(self.run_id, NOTE, words.describe(data.params, data.metrics, data.tags, self._links()))
        self._store.end(self.run_id, status)

    def log_settings(self, settings: Mapping[str, object]) -> None:
        """Record the whole of params.yaml on the parent.

        MLflow writes a param once. What has changed since (settings of later stages: the search's own would
        make it another search) is told by the description and by the runs of the fine-tunings.

        Args:
            settings: Nested mappings as in the file.
        """
        params = words.flatten(settings)
        self._ranked_by = params.get(RANKED_BY, self._ranked_by)
        parent = self._parent()
        old = parent.data.params
        self._store.write(parent, {name: value for name, value in params.items() if name not in old}, [])
        changed = {name: value for name, value in params.items() if old.get(name, value) != value}
        if changed or CHANGED in parent.data.tags:
            self._store.tag(self.run_id, CHANGED, json.dumps(changed))

    def log_dataset(self, facts: Mapping[str, Any]) -> None:
        """Record a table of images as an input of the parent; see `tasks.record.search.Recorder.log_dataset`."""
        self._store.add_dataset(self.run_id, facts)

    def log_candidates(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Record scored candidates, each in one run; what more images found replaces what fewer had shown.

        Args:
            candidates: Attributes of `Candidate`, of a batch as it comes or of all of them again.
        """
        made = [Candidate(**attributes) for attributes in candidates]
        for candidate in made:
            if candidate.id not in self._done:
                self._log_candidate(candidate)
            elif (candidate.images or 0) > self._images.get(candidate.id, 0):
                self._store.put_figures(self._nested[candidate.id].info.run_id, candidate.figures())
            self._images[candidate.id] = max(candidate.images or 0, self._images.get(candidate.id, 0))
        if made and not self._viewed:
            self._offer_view(made[0])
        if time.monotonic() - self._charted_at > SECONDS_BETWEEN_CHARTS:
            self._chart()

    def log_ranking(self, path: Path) -> None:
        """Record the ranking on the parent and mark the winner's run.

        Args:
            path: ranking.parquet.
        """
        ranking = pd.read_parquet(path)
        with self._once("ranking", path) as is_new:
            if is_new:
                self._show_table(ranking.drop(columns=["rates", "widths"], errors="ignore"), "ranking.json")
                self._store.upload(self.run_id, path)
        best = ranking[ranking["rank"] == 1].iloc[0]
        self._store.tag(self.run_id, WINNER, best["id"])
        self._name_candidates(best["id"])
        figures = {name: best[name] for name in words.FIGURES if name in best and pd.notna(best[name])}
        costs = {name: figures.pop(name) for name in words.COSTS}
        self._store.put_figures(self.run_id, {**costs, **{f"winner/{name}": value for name, value in figures.items()}})

    def log_finetuned(
        self,
        candidate_id: str,
        settings: Mapping[str, object],
        history: Mapping[str, Sequence[float]],
        metrics: Mapping[str, float],
        study: str = "",
    ) -> None:
        """Record a fine-tuning as a nested run with its curves; its figures also go to the candidate's run.

        Args:
            candidate_id: Who was fine-tuned.
            settings: The `finetune` section; other settings give another run, another outcome replaces the run.
            history: `epoch` and any other columns, one value per epoch.
            metrics: Final figures with `final_accuracy` (on the test images) among them, which the parent shows
                for the winner.
            study: What it was done for beside the search; its figures are then its own alone, and its run has the tag
                `eagleeye.study`.
        """
        params = {"candidate": candidate_id, **words.flatten(settings, f"{study or 'finetune'}.")}
        what = f"{study} {candidate_id}, seed {settings['seed']}" if study else f"fine-tune {candidate_id}"
        name = words.run_name(what, metrics["final_accuracy"])
        outcome = digest_of([dict(history), dict(metrics)])
        run = self._finetuning(name, digest_of(params), outcome)
        curves = [
            (words.key(column), float(value), int(epoch))
            for column, values in history.items()
            for epoch, value in zip(history["epoch"], values, strict=True)
            if column != "epoch"
        ]
        self._store.write(run, params, [*curves, *_single(metrics)])
        if study:
            self._store.tag(run.info.run_id, STUDY, study)
        self._store.end(run.info.run_id)
        if study:
            return
        if candidate_id in self._nested:
            self._store.put_figures(self._nested[candidate_id].info.run_id, metrics)
        if self._parent().data.tags.get(WINNER) == candidate_id:
            self._store.put_figures(self.run_id, {"final_accuracy": metrics["final_accuracy"]})

    def log_model(self, checkpoint: Path, onnx: Path, registered: str, tags: Mapping[str, str]) -> None:
        """Record the winner: the checkpoint as an artefact, the ONNX file as an MLflow model, registered as champion.

        Args:
            checkpoint: From `eagleeye.save`.
            onnx: From `eagleeye.saving.onnx_export`.
            registered: Name of the registered model, of which the winner is a version.
            tags: What the version says of the winner.
        """
        with self._once("checkpoint", checkpoint) as is_new:
            if is_new:
                self._store.upload(self.run_id, checkpoint, "checkpoint")
        content = digest_of(onnx.read_bytes())
        model = self._store.add_onnx(self.run_id, onnx, content)
        tags = {SEARCH: self._key, ONNX: content, **tags}
        self._store.register(registered, model, tags, CHAMPION)

    def log_report(self, metrics: Mapping[str, float], folder: Path, name: str = "report") -> None:
        """Record the report, or a study's, on the parent.

        Args:
            metrics: Figures of merit by name; pairs baseline_X and pruned_X (accuracy, macs, params,
                latency_ms, …) of the search's report fill the description's table.
            folder: The page and its figures.
            name: Which report.
        """
        self._store.put_figures(self.run_id, {f"{name}/{figure}": value for figure, value in metrics.items()})
        with self._once(name, folder) as is_new:
            if is_new:
                self._store.upload(self.run_id, folder, name)

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
        for run in sorted(self._store.find(f"tags.`{PARENT}` = '{self.run_id}'"), key=_finished, reverse=True):
            key = run.data.tags.get(CANDIDATE) or run.data.tags.get(FINETUNE)
            if key in nested:  # a request that was answered too late, and therefore sent twice
                self._store.delete(run.info.run_id)
            elif key is not None:
                nested[key] = run
        return nested

    def _log_candidate(self, candidate: Candidate) -> None:
        score = candidate.scores[self._ranked_by]
        name = words.run_name(candidate.id, score)
        tags = {CANDIDATE: candidate.id, PARENT: self.run_id}
        # The duration that the UI shows is that of the evaluation, not of its recording.
        run = self._nested.get(candidate.id) or self._store.create(name, tags, candidate.seconds or 0.0)
        rates = {words.key(f"rate/{group}"): f"{rate:.4f}" for group, rate in candidate.rates.items()}
        self._store.write(run, {"origin": candidate.origin, **rates}, _single(candidate.figures()))
        self._store.end(run.info.run_id)
        self._nested[candidate.id] = run
        self._done.add(candidate.id)
        if candidate.origin != REFERENCE:
            self._scores.append(score)

    def _finetuning(self, name: str, key: str, outcome: str) -> Run:
        run = self._nested.get(key)
        if run is not None and run.data.tags[OUTCOME] != outcome:
            self._store.delete(run.info.run_id)
            run = None
        self._nested[key] = run or self._store.create(name, {FINETUNE: key, OUTCOME: outcome, PARENT: self.run_id})
        return self._nested[key]

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
    def _once(self, name: str, path: Path) -> Iterator[bool]:
        """Whether the parent lacks this content yet; noted there when the block has uploaded it."""
        content = content_key({name: path})[:16]
        known = json.loads(self._parent().data.tags.get(UPLOADS, "{}"))
        is_new = known.get(name) != content
        yield is_new
        if is_new:
            self._store.tag(self.run_id, UPLOADS, json.dumps({**known, name: content}))


def _finished(run: Run) -> bool:
    return str(run.info.status) == "FINISHED"


def _competes(run: Run) -> bool:
    return CANDIDATE in run.data.tags and run.data.params.get("origin") != REFERENCE


def _single(figures: Mapping[str, float]) -> list[tuple[str, float, int]]:
    return [(words.key(name), float(value), 0) for name, value in figures.items()]
