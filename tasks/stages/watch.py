"""watch: what the files are that the user may change at any time: images, checkpoint, own code. It always runs.

What it writes follows from contents, so that an unchanged file, here or on another machine, leaves the later stages as
they are, and an edit makes those run again that depend on it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.artifacts import DIGESTS, WATCHED_CHECKPOINT, WATCHED_CODE, WATCHED_DATA, write_text
from tasks.inputs.loop import open_loop
from tasks.inputs.watched import code_files, data_files
from tasks.params import Params
from tasks.run.context import Context
from tasks.state.digests import Digests

Facts = dict[str, Any]


def run(params: Params, context: Context) -> None:
    """Write down what the images, the checkpoint and the user's own code are.

    Files that are missing stay on record as they were: another machine need not have what no stage reads there, and a
    stage that does says what is missing.

    Raises:
        ArtifactError: The record of digests is damaged.
        ConfigError: There is no function that `finetune.trainer` names: better now than after the search.
        DataError: A file cannot be read.
    """
    if params.finetune.trainer is not None:
        open_loop(params.finetune.trainer)
    checkpoint = {"checkpoint": {"": Path(params.model.checkpoint)}} if params.model.checkpoint else {}
    with Digests(DIGESTS) as digests:
        told = {
            WATCHED_DATA: _facts(WATCHED_DATA, _images(params), params.data.watch, digests, context),
            WATCHED_CHECKPOINT: _facts(WATCHED_CHECKPOINT, checkpoint, "contents", digests, context),
            WATCHED_CODE: {name: digests.of(path) for name, path in code_files(params).items()},
        }
    for path, facts in told.items():
        before = _before(path)
        text = json.dumps(facts, indent=2) + "\n"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
        changed = sorted(name for name in {*facts, *before} if facts.get(name) != before.get(name))
        if before and changed:
            context.say(f"watch: changed: {', '.join(changed)} ({path.stem})")


def _images(params: Params) -> dict[str, dict[str, Path]]:
    return {} if params.data.watch == "nothing" else data_files(params)


def _facts(
    path: Path, files: Mapping[str, Mapping[str, Path]], watch: str, digests: Digests, context: Context
) -> Facts:
    before = _before(path)
    facts = Facts()
    for name, found in files.items():
        if any(file.is_file() for file in found.values()):
            facts[name] = _summary(found, watch, digests)
        elif name in before:
            context.warn(f"watch: {name}: there are no such files here; taken as they were on record")
            facts[name] = before[name]
    return facts


def _summary(files: Mapping[str, Path], watch: str, digests: Digests) -> Facts:
    sizes = {name: path.stat().st_size for name, path in files.items() if path.is_file()}
    told = {name: digests.of(files[name]) for name in sizes} if watch == "contents" else sizes
    empty = {name: None for name in files if name not in sizes}
    digest = hashlib.sha256(json.dumps({**told, **empty}, sort_keys=True).encode()).hexdigest()
    return {"files": len(sizes), "bytes": sum(sizes.values()), watch: digest}


def _before(path: Path) -> Facts:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    # What is missing or damaged is written anew.
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
