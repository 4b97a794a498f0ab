"""Every setting is explained in the words of its field, with its value."""

from pathlib import Path

import pytest

from eagleeye.errors import ConfigError
from tasks.ahead import settings
from tests.imports import ROOT


def test_a_setting_has_its_value_its_meaning_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    settings.run(["strategies", "studies"])
    told = " ".join(capsys.readouterr().out.split())
    assert "strategies.budget.macs = 0.5 ≤ 1: fraction of the full network's MACs; above 1: a count [" in told
    assert "strategies.count = 100 candidates, of all generations together [a whole number ≥ 1]" in told
    assert "studies = [] studies beside the search" in told
    assert "evaluate.mode" not in told


def test_allowed_values_are_those_of_the_field() -> None:
    allowed = {setting.key: setting.allowed for setting in settings.settings_of("evaluate")}
    assert allowed["evaluate.mode"] == "reset | paper"
    assert allowed["evaluate.workers"] == "a whole number ≥ 1 or null"
    assert allowed["evaluate.vanilla"] == "true | false"
    allowed = {setting.key: setting.allowed for setting in settings.settings_of("data")}
    assert allowed["data.preprocess"] == "the settings below or auto | none"
    assert allowed["data.preprocess.size"] == "a whole number ≥ 1 or null"


def test_without_settings_there_are_explanations_and_a_misspelt_section_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings.run([])
    assert "  rank.by\n" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"'strategy' is none of .*did you mean strategies"):
        settings.run(["strategy"])
