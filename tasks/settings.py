"""Reads params.yaml into one frozen object, changes single settings in it, and says in one line what is wrong."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
)

from eagleeye.errors import ConfigError, did_you_mean
from eagleeye.files import written_whole
from tasks.params import Params
from tasks.passwords import without_passwords

SHOWN = 60
MOST = 3
NULL = "tag:yaml.org,2002:null"
LONGEST = 2**20
MOST_VALUES = 10_000
DEEPEST = 50  # characters, values and levels: far above any real file's
CONFLICT = ("<<<<<<< ", "=======", ">>>>>>> ")


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
    except TypeError as error:  # JSON's, of a key
        raise ConfigError(f"{name}: a list or section stands where a key must ({error})") from None


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
        text = path.read_text(encoding="utf-8")
        _check_size(path.name, text)
        return _yaml(kind).load(text)
    except FileNotFoundError:
        raise ConfigError(f"{path.name} is missing: copy a file from recipes/ to {path.name}") from None
    except OSError as error:
        raise ConfigError(
            f"{path.name} cannot be read ({error.strerror}): put a file from recipes/ there, one that you may read"
        ) from None
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        key = str(error.problem).split('"')[1]
        raise ConfigError(f"{path.name}: line {line}: {key} appears twice; keep one of them") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path.name}: {where}not valid YAML: {error.problem}") from None
    except (ValueError, YAMLError) as error:
        raise ConfigError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from None
    except (TypeError, AttributeError) as error:
        # ruamel.yaml, keeping comments, stumbles over sections in a key's place and over tags on what they do not fit.
        told = "a section stands where a key must, or a tag (!!) before a value that it does not fit"
        raise ConfigError(f"{path.name}: not valid YAML: {told}; compare it with a file from recipes/") from error


def _check_size(name: str, text: str) -> None:
    """Refuse what would be large, deep or endless once its aliases are written out."""
    if line := conflict_line(text):
        raise ConfigError(f"{name}: line {line}: marks of a merge that met a conflict; keep one of both sides")
    if len(text) > LONGEST:
        raise ConfigError(f"{name}: {len(text):,} characters: settings have at most {LONGEST:,}")
    sizes: dict[str | None, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    # Event by event: whatever builds the values goes as deep as the file does, down to the end of the stack.
    for event in _yaml("safe").parse(text):
        _count(event, open_nodes, sizes)
        if open_nodes[-1][1] > MOST_VALUES:
            raise ConfigError(f"{name}: more than {MOST_VALUES:,} values, each alias written out; settings have fewer")
        if len(open_nodes) > DEEPEST:
            raise ConfigError(f"{name}: nested too deeply: settings have at most {DEEPEST} levels")


def _count(event: Event, open_nodes: list[tuple[str | None, int]], sizes: dict[str | None, int]) -> None:
    """Add the values that an event of a YAML file stands for to the node around it, each alias written out."""
    if isinstance(event, CollectionStartEvent):
        sizes[event.anchor] = MOST_VALUES + 1  # met within itself: endless
        open_nodes.append((event.anchor, 1))
        return
    if isinstance(event, CollectionEndEvent):
        anchor, size = open_nodes.pop()
    elif isinstance(event, ScalarEvent):
        anchor = event.anchor
        size = 1 + len(event.value) // SHOWN
    elif isinstance(event, AliasEvent):
        anchor = None
        size = sizes.get(event.anchor, 1)
    else:
        return
    sizes[anchor] = size
    around, counted = open_nodes[-1]
    open_nodes[-1] = around, counted + size


def conflict_line(text: str) -> int | None:
    """The first line that git has marked for a conflict; None where there is none."""
    lines = text.splitlines()
    marked = {mark: number for number, line in enumerate(lines, 1) for mark in CONFLICT if line.startswith(mark)}
    return marked[CONFLICT[0]] if len(marked) == len(CONFLICT) else None


def _set(document: Any, key: str, value: object, name: str) -> str | None:
    *parents, last = key.split(".")
    section = document
    for parent in parents:
        section = section.get(parent) if isinstance(section, Mapping) else None
    # A free mapping, such as data.options, takes keys that are not there yet.
    free = parents[-1:] == ["options"]
    if not isinstance(section, dict) or (last not in section and not free):
        hint = did_you_mean(key, _all_keys(document)) or _allowed(document)
        raise ConfigError(f"{name}: {key} is unknown; {hint}")
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
        fields = _fields(path[:-1])
        return f"{key} is unknown; ", did_you_mean(path[-1], fields) or _allowed(fields)
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
        if model is not None and part == model.__name__:
            continue
        known = model is not None and (part in model.model_fields or details["type"] == "extra_forbidden")
        if known or isinstance(part, int):
            path.append(str(part))
        model = _section(model, str(part))
    return path


def _section(model: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key) if model else None
    kinds = [field.annotation, *get_args(field.annotation)] if field else []
    kinds += [get_args(kind)[0] for kind in kinds if get_origin(kind) is Annotated]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _fields(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] | None = Params
    for part in path:
        model = _section(model, part)
    return list(model.model_fields) if model else []


def _allowed(names: Iterable[object]) -> str:
    return f"allowed here: {', '.join(map(str, names))}"


def _show(value: object) -> str:
    text = json.dumps(without_passwords(value), default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
