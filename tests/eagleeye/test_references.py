"""Naming a function of the user's own."""

from pathlib import Path

import pytest

from eagleeye.errors import DataError, ModelError
from eagleeye.references import described, resolve


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "own_package_for_references"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(
        "from functools import partial\nfrom os import system\n"
        "def double(x):\n    return 2 * x\n"
        "number = 3\neight = partial(double, 4)\nsly = partial(partial(system), 'true')\n"
    )
    (package / "broken.py").write_text("raise OSError('no such\\n camera')\n")
    (package / "needy.py").write_text("import a_library_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    return package.name


def test_finds_the_function(module: str) -> None:
    assert resolve(f"{module}.good:double", DataError)(4) == 8
    assert resolve(f"{module}.good:eight", DataError)() == 8


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("no_colon", "not of the form"),
        (":function", "not of the form"),
        ("module:", "not of the form"),
        ("a:b:c", "not of the form"),
        ("no_such_package_at_all:f", "there is no module 'no_such_package_at_all'"),
        ("{}.missing:f", "there is no module '{}.missing'"),
        ("{}.good:missing", "'missing' is missing in"),
        ("{}.good:number", "'number' is not a function"),
        ("os:system", "os is part of Python itself; name a function of your project's folder"),
        ("builtins:exec", "builtins is part of Python itself"),
        ("os.path:join", "os.path is part of Python itself"),
        ("this:anything", "this is part of Python itself"),
        ("{}.good:system", "'system' comes from posix, which is part of Python itself"),
        ("{}.good:sly", "'sly' comes from posix, which is part of Python itself"),
        ("{}.good:__class__", "'__class__' comes from builtins, which is part of Python itself"),
        ("{}.broken:f", "OSError: no such camera"),
        ("{}.needy:f", "importing {}.needy failed: ModuleNotFoundError: No module named 'a_library_nobody_has'"),
    ],
)
def test_errors_name_the_culprit_in_one_line(module: str, reference: str, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve(reference.format(module), ModelError)
    assert expected.format(module) in str(caught.value)
    assert reference.format(module) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_exception_without_a_message_is_called_by_its_class() -> None:
    assert described(KeyError()) == "KeyError"
    assert described(ValueError("a\n  b")) == "ValueError: a b"
