"""Files that only others' programs read: they name what there is."""

import json
import re
import tomllib
from pathlib import Path

from ruamel.yaml import YAML

import eagleeye

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_container_has_extras_that_there_are_and_no_address_of_an_index():
    text = (ROOT / "Dockerfile").read_text()
    developing = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())["build"]["args"]["EXTRAS"]
    for extras in (re.search(r'EXTRAS="([\w,]+)"', text).group(1), developing):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    assert "://" not in text
    # Weights and data may be large, or not everybody's.
    assert {"checkpoints", "data", ".git"} <= set((ROOT / ".dockerignore").read_text().split())


def test_the_citation_is_of_this_version_and_license():
    cited = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert (cited["version"], cited["license"]) == (eagleeye.__version__, PROJECT["license"])
    bibtex = (ROOT / "docs" / "citing.md").read_text()
    assert cited["preferred-citation"]["doi"] in bibtex
    assert f"{{{eagleeye.__version__}}}" in bibtex


def test_the_readme_names_all_that_is_required_and_every_extra():
    readme = (ROOT / "README.md").read_text()
    required = re.search(r"It needs torch and\n(.*?)\. More", readme, re.DOTALL).group(1)
    for requirement in PROJECT["dependencies"]:
        name = re.match(r"[\w-]+", requirement).group()
        assert name == "torch" or re.search(rf"\b{name}\b", required), name
    assert [extra for extra in PROJECT["optional-dependencies"] if f"`{extra}`" not in readme] == []
