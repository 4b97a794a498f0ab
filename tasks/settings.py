"""Reads params.yaml into one frozen object, changes single settings in it, and says in one line what is wrong."""

import difflib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError

from eagleeye.errors import ConfigError
from eagleeye.files import written_whole
from tasks.params import Params

SHOWN = 60
MOST = 3
NULL = "tag:yaml.org,2002:null"


def read_params(path: Path) -> Params:
    """Read and check a settings file.

    Args:
        path: params.yaml or a recipe.

    Returns:
        The settings.

    Raises:
        ConfigError: The file is missing, is not YAML, or a setting is unknown, contradictory or out of range.
    """
    return check(_load(path, "safe"), path.name)


def check(values: object, name: str) -> Params:
    """Check settings that are already in memory.

    Args:
        values: Nested mappings as they stand in the file.
        name: The file's name, for the message.

    Raises:
        ConfigError: A setting is unknown, contradictory or out of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}: holds no settings; copy a file from recipes/ over it")
    try:
        # By way of JSON, so that strict checks take a list where a tuple is meant but never "3" for 3.
        return Params.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise ConfigError(_one_line(error, name)) from None


def override(path: Path, overrides: Mapping[str, object]) -> list[str]:
    """Write single settings into a settings file, comments kept, as `dvc exp run -S` does; nothing if one is wrong.

    Args:
        path: The settings file.
        overrides: Values by dotted key, for instance {"strategies.count": 50}.

    Returns:
        One line per setting that changed: key, old and new value.

    Raises:
        ConfigError: A key does not exist or the settings would not be valid.
    """
    document, changes = _changed(path, overrides)
    check(document, path.name)
    if changes:
        text = io.StringIO()
        _yaml("rt").dump(document, text)
        with written_whole(path) as beside:
            beside.write_text(text.getvalue(), encoding="utf-8")
    return changes


def preview(path: Path, overrides: Mapping[str, object]) -> Params:
    """The settings as `override` would leave them; nothing is written.

    Args:
        path: The settings file.
        overrides: Values by dotted key.

    Raises:
        ConfigError: A key does not exist or the settings would not be valid.
    """
    return check(_changed(path, overrides)[0], path.name)


def _changed(path: Path, overrides: Mapping[str, object]) -> tuple[Any, list[str]]:
    document = _load(path, "rt")
    if not isinstance(document, Mapping):
        check(document, path.name)
    changes = [line for key, value in overrides.items() if (line := _set(document, key, value, path.name))]
    return document, changes


def _yaml(kind: str) -> YAML:
    # YAML 1.2, as DVC reads it: 1e-4 is a number, `no` is a word.
    yaml = YAML(typ=kind)
    yaml.width = 4096
    if kind == "rt":  # by default an empty value stands for null
        yaml.representer.add_representer(type(None), lambda dump, _: dump.represent_scalar(NULL, "null"))
    return yaml


def _load(path: Path, kind: str) -> Any:
    try:
        return _yaml(kind).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path.name} is missing: copy a file from recipes/ to {path.name}") from None
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        key = str(error.problem).split('"')[1]
        raise ConfigError(f"{path.name}: line {line}: {key} appears twice; keep one of them") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path.name}: {where}not valid YAML: {error.problem}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not valid YAML: {str(error).splitlines()[0]}") from None


def _set(document: Any, key: str, value: object, name: str) -> str | None:
    *parents, last = key.split(".")
    section = document
    for parent in parents:
        section = section.get(parent) if isinstance(section, Mapping) else None
    # A free mapping, such as data.options, takes keys that are not there yet.
    free = parents[-1:] == ["options"]
    if not isinstance(section, dict) or (last not in section and not free):
        close = difflib.get_close_matches(key, _all_keys(document), n=1)
        raise ConfigError(f"{name}: {key} is unknown; {_hint(key, close or list(document))}")
    old = section.get(last)
    if old == value and type(old) is type(value):
        return None
    section[last] = value
    return f"{key}: {_show(old)} → {_show(value)}"


def _all_keys(document: Any, prefix: str = "") -> list[str]:
    keys = []
    for key, value in document.items():
        keys.append(prefix + str(key))
        if isinstance(value, Mapping):
            keys += _all_keys(value, f"{prefix}{key}.")
    return keys


def _one_line(error: ValidationError, name: str) -> str:
    problems: dict[str, list[str]] = {}
    # Unknown keys first: a misspelt key is also missing under its right name.
    for details in sorted(error.errors(), key=lambda details: details["type"] != "extra_forbidden"):
        key, problem = _describe(details)
        problems.setdefault(key, []).append(problem)
    # A value that may be of two types fails once for each of them: one sentence for both.
    sentences = [key + " or ".join(dict.fromkeys(said)) for key, said in problems.items()]
    more = [f"{len(sentences) - MOST} more"] if len(sentences) > MOST else []
    return f"{name}: " + "; ".join(sentences[:MOST] + more)


def _describe(details: ErrorDetails) -> tuple[str, str]:
    path = _key_path(details)
    key, kind = ".".join(path), details["type"]
    if kind == "extra_forbidden":
        return f"{key} is unknown; ", _hint(path[-1], _fields(path[:-1]))
    if kind == "missing" and not path[-1].isdigit():
        return f"{key} is missing; ", "params.yaml in the repository and every recipe show it"
    if kind == "missing":
        return (
            f"{'.'.join(path[:-1])} has {path[-1]} value(s): ",
            f"value number {int(path[-1]) + 1} is missing",
        )
    if kind == "value_error":
        return f"{key}: " if key else "", details["msg"].removeprefix("Value error, ")
    allowed = details["msg"].removeprefix("Input should be ").replace("an object", "a section of settings")
    return f"{key} is {_show(details['input'])}: must be ", allowed.replace("valid array", "list")


def _key_path(details: ErrorDetails) -> list[str]:
    # The location also names the branches of a union ("int", "float"): only keys and positions count.
    path: list[str] = []
    model: type[BaseModel] | None = Params
    for part in details["loc"]:
        known = model is not None and (part in model.model_fields or details["type"] == "extra_forbidden")
        if known or isinstance(part, int):
            path.append(str(part))
        model = _section(model, str(part))
    return path


def _section(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key) if model else None
    kinds = [field.annotation, *get_args(field.annotation)] if field else []
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _fields(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] | None = Params
    for part in path:
        model = _section(model, part)
    return list(model.model_fields) if model else []


def _hint(key: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, allowed, n=1)
    return f"did you mean {close[0]}?" if close else f"allowed here: {', '.join(allowed)}"


def _show(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
