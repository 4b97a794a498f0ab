"""The examples in docstrings run as they stand."""

import doctest
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import eagleeye
from eagleeye.models import build

# These take images and seconds: the README's example, which tests/test_readme.py runs, shows them at work.
WITHOUT = {"compress", "evaluate", "rank", "reconstruct", "search"}
FUNCTIONS = [name for name in eagleeye.__all__ if inspect.isfunction(getattr(eagleeye, name))]


@pytest.fixture(scope="module")
def given() -> dict[str, object]:
    """What examples take for granted."""
    torch.manual_seed(0)
    network = build("cifar_resnet20", num_classes=10)
    space = eagleeye.trace(network, torch.zeros(1, 3, 32, 32))
    return {"eagleeye": eagleeye, "torch": torch, "np": np, "build": build, "network": network, "space": space}


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - WITHOUT))
def test_an_example_says_what_happens(
    name: str, given: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(eagleeye, name)
    module = sys.modules[function.__module__]
    (test,) = doctest.DocTestFinder(recurse=False).find(function, name, module, globs=dict(given))
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
