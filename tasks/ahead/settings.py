"""settings: every setting with its value, what is allowed and what it means, from the fields of `tasks.params`."""

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from eagleeye.errors import ConfigError, none_of
from tasks.params import Params
from tasks.settings import read_params

NARROWEST = 60
WIDEST = 110
_INDENT = "      "
_KINDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true | false"}
_KINDS |= {"array": "a list", "object": "a section of free keys", "null": "null"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "minItems": "of at least"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: Dotted, as in `dvc exp run -S`.
        allowed: Kinds of values.
        meaning: The field's description.
    """

    key: str
    allowed: str
    meaning: str


def run(sections: Sequence[str]) -> None:
    """Print the settings.

    Args:
        sections: Those whose settings are explained; empty: all.

    Raises:
        ConfigError: There is no such section.
    """
    for name in sections:
        if name not in Params.model_fields:
            raise ConfigError(f"section {none_of(name, list(Params.model_fields))}")
    try:
        values = read_params(Path("params.yaml")).model_dump(mode="json")
    except ConfigError:  # the explanations are there to mend it
        values = {}
    for name in sections or Params.model_fields:
        print("\n".join(explained(name, values)))


def explained(section: str, values: dict[str, Any]) -> Iterator[str]:
    """The lines of a section.

    Args:
        section: Its name.
        values: The settings as they are, nested; empty where they cannot be read.

    Yields:
        Lines that fit the terminal.
    """
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns)) - 1
    model = _section(section)
    yield f"{section}: {_first_line(model)}" if model else section
    for setting in settings_of(section):
        yield f"  {setting.key}{_value(setting.key, values)}"
        said = f"{setting.meaning}  [{setting.allowed}]"
        yield from textwrap.wrap(said, width, initial_indent=_INDENT, subsequent_indent=_INDENT)
    yield ""


def settings_of(section: str) -> list[Setting]:
    """The settings of a section, those of the sections in it among them."""
    schema = Params.model_json_schema()
    return list(_walk(section, schema["properties"][section], schema["$defs"]))


def _walk(key: str, node: dict[str, Any], defined: dict[str, Any]) -> Iterator[Setting]:
    if "$ref" not in node:
        yield Setting(key, _allowed(node), node["description"])
        # A section, where a word may stand for the whole of it.
        for kind in node.get("oneOf", []):
            yield from _walk(key, kind, defined) if "$ref" in kind else ()
        return
    for name, inner in defined[node["$ref"].rpartition("/")[2]]["properties"].items():
        yield from _walk(f"{key}.{name}", inner, defined)


def _allowed(node: dict[str, Any]) -> str:
    if kinds := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(dict.fromkeys(_allowed(kind) for kind in kinds))
    if "$ref" in node:
        return "the settings below"
    if "enum" in node or "const" in node:
        return " | ".join(str(value) for value in node.get("enum", [node.get("const")]))
    bounds = [f"{sign} {node[name]}" for name, sign in _BOUNDS.items() if name in node]
    return " ".join([_KINDS[node["type"]], *([", ".join(bounds)] if bounds else [])])


def _value(key: str, values: dict[str, Any]) -> str:
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return ""
        found = found[part]
    return f" = {json.dumps(found, ensure_ascii=False)}"


def _section(name: str) -> type[BaseModel] | None:
    kind = Params.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]
