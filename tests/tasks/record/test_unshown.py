"""What MLflow has missed is on disk as it was, whatever becomes of the artefacts."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eagleeye.errors import ArtifactError
from tasks.record.progress import Progress
from tasks.record.shown import Report, Tuning, Upload, View, Winner
from tasks.record.unshown import FOLDER, Unshown, unshown
from tests.tasks.record.recorded import candidate

TUNING = Tuning("s0001", {"epochs": 2, "seed": 0}, {"epoch": [1, 2], "loss": [0.5, 0.1]}, {"final_accuracy": 0.9})


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("ranking.parquet", "pruned.safetensors", "pruned.onnx", "report/report.html", "report/figures/a.png"):
        path = tmp_path / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def _view(**changes: object) -> View:
    folder = Path("artifacts")
    view = View(
        "key",
        "a search",
        {"rank": {"by": "accuracy"}},
        [{"name": "calibration", "rows": 7}],
        [candidate(0, 0.4), candidate(1, math.nan, latency=2.5)],
        Upload(folder / "ranking.parquet", "aa"),
        [TUNING],
        Winner(Upload(folder / "pruned.safetensors", "bb"), folder / "pruned.onnx", "winners", {"macs": "5"}),
        [Report("report", {"accuracy": 0.9}, Upload(folder / "report", "cc"))],
    )
    return replace(view, **changes)


def _plain(view: View) -> str:
    return repr(replace(view, ranking=None, winner=None, reports=[]))  # as text, because NaN differs from itself


def test_a_view_comes_back_with_its_files_as_they_were() -> None:
    kept = Unshown.of("report", _view())
    kept.put(_view(), "FINISHED")
    shutil.rmtree("artifacts")
    (found,) = unshown()
    view, status = found.read()
    assert (_plain(view), status) == (_plain(_view()), "FINISHED")
    assert view.ranking and view.winner
    paths = [view.ranking.path, view.winner.checkpoint.path, view.winner.onnx]
    assert [(path.name, path.read_text()) for path in paths] == [(path.name, path.name) for path in paths]
    assert (view.ranking.content, view.winner.checkpoint.content, view.winner.tags) == ("aa", "bb", {"macs": "5"})
    (report,) = view.reports
    assert (report.name, report.figures, report.folder.content) == ("report", {"accuracy": 0.9}, "cc")
    assert (report.folder.path / "figures" / "a.png").read_text() == "report/figures/a.png"
    found.forget()
    assert unshown() == []
    assert list(FOLDER.iterdir()) == []


def test_an_artefact_that_is_replaced_is_kept_as_it_was() -> None:
    kept = Unshown.of("rank", _view())
    kept.put(_view(), "FINISHED")
    Path("artifacts/ranking.parquet").unlink()  # written beside and renamed, as all artefacts are
    Path("artifacts/ranking.parquet").write_text("another")
    other = _view(ranking=Upload(Path("artifacts/ranking.parquet"), "dd"))
    assert kept.read()[0].ranking.path.read_text() == "ranking.parquet"
    kept.put(other, "FINISHED")
    assert kept.read()[0].ranking.path.read_text() == "another"


def test_searches_settings_and_stages_have_places_of_their_own() -> None:
    views = [_view(), _view(key="other"), _view(settings={"rank": {"by": "loss"}})]
    kept = [Unshown.of(stage, view) for stage in ("rank", "report") for view in views]
    assert len(set(map(str, kept))) == 6
    for one, view in zip(kept, [*views, *views], strict=True):
        one.put(view, "FINISHED")
    assert unshown() == kept, "the oldest first"
    assert Unshown.of("rank", _view()) == kept[0]


def _begun(**parts: object) -> tuple[Unshown, View]:
    view = _view(candidates=[], ranking=None, tunings=[], winner=None, reports=[], **parts)
    kept = Unshown.of("evaluate", view)
    kept.begin(view)
    return kept, view


def test_a_stage_that_is_killed_leaves_what_it_had_found() -> None:
    kept, _ = _begun()
    progress = Progress(kept.add)
    progress.told(candidate(0, math.nan))
    for epochs in (1, 2):
        progress.told(replace(TUNING, history={"epoch": [1, 2][:epochs]}, figures={}))
    view, status = kept.read()
    assert status == "KILLED"
    assert repr(view.candidates) == repr([candidate(0, math.nan)])
    assert [one.history for one in view.tunings] == [{"epoch": [1, 2]}]


def test_a_line_that_a_kill_cut_off_is_left_out_and_the_next_run_goes_on() -> None:
    kept, _ = _begun()
    for row in (0, 1):
        kept.add(candidate(row, 0.5))
    path = FOLDER / str(kept).rpartition("/")[2] / "found.jsonl"
    text = path.read_text()
    for cut in range(text.index("\n") + 1, len(text)):
        path.write_text(text[:cut])
        assert [one.id for one in kept.read()[0].candidates] == ["s0000"]
    again, _ = _begun()
    again.add(candidate(2, 0.5))
    assert [one.id for one in again.read()[0].candidates] == ["s0000", "s0002"]


def test_a_stage_that_begins_again_leaves_what_is_kept_of_it_until_it_ends() -> None:
    kept, begun = _begun()
    kept.put(_view(), "FINISHED")
    _begun()
    assert _plain(kept.read()[0]) == _plain(_view())
    kept.add(candidate(2, 0.5))
    kept.put(begun, "FAILED")
    view, status = kept.read()
    assert (list(view.candidates), view.ranking, status) == ([], None, "FAILED")


def test_what_was_killed_while_it_was_forgotten_is_taken_off() -> None:
    kept = Unshown.of("report", _view())
    kept.put(_view(), "FINISHED")
    (Path(str(kept)) / "view.json").unlink()
    assert unshown() == []
    _begun()
    assert not Path(str(kept)).exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"status": "FINISHED", "view": {"key": "a"}}'])
def test_damage_is_told_with_the_way_out(text: str) -> None:
    kept = Unshown.of("rank", _view())
    kept.put(_view(), "FINISHED")
    (Path(str(kept)) / "view.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"^\.eagleeye/unshown/\w+ is damaged .*: delete this folder to go on"):
        kept.read()


def test_what_cannot_be_kept_is_told() -> None:
    FOLDER.parent.mkdir()
    FOLDER.write_text("a file")
    with pytest.raises(ArtifactError, match=r"^\.eagleeye/unshown/\w+: what MLflow is to be shown cannot be kept"):
        Unshown.of("rank", _view()).put(_view(), "FINISHED")
