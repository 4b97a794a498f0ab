"""status: which stages are up to date, and why the others are not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eagleeye.project.library import difference
from tasks.run.lock import at_work
from tasks.run.walk import Changes, changes_of

MOST = 4
_SAID = {"modified": "changed", "new": "is new", "deleted": "is gone"}

_RESULT = {"modified": "is not what the stage wrote", "deleted": "is gone", "not in cache": "is not in DVC's cache"}


def run(_: Sequence[str]) -> None:
    """Print a line for every stage, and what comes next.

    Raises:
        ConfigError: dvc.yaml or params.yaml cannot be read, or another process holds DVC's locks.
    """
    if line := at_work():
        print(f"at work now: {line}")
    if line := difference(Path.cwd()):
        print(f"warning: {line}")
    lines, current = told(changes_of(Path.cwd()))
    print("\n".join(lines))
    done = "next: artifacts/report/report.html, `dvc metrics show`; after edits of images or checkpoint, `dvc repro`"
    print(done if current else "next: `dvc repro`")


def told(found: Mapping[str, Changes]) -> tuple[list[str], bool]:
    """What is said of the stages.

    Args:
        found: What has changed, by stage, in the order in which they run.

    Returns:
        A line for each of them, and whether all are up to date.
    """
    lines: list[str] = []
    waits: list[str] = []
    for name, changes in found.items():
        reasons = _reasons(changes, waits)
        current = "runs every time, to see what else has changed" if changes.always else "up to date"
        lines.append(f"  {name:<18}{f'to be run: {_some(reasons)}' if reasons else current}")
        if reasons:
            waits.append(name)
    return lines, not waits


def _reasons(changes: Changes, waits: Sequence[str]) -> list[str]:
    before = [name for name in waits if name in changes.after]
    lacking = [f"waits for {', '.join(before)}"] if before else []
    if changes.never:
        return ["it has never run", *lacking]
    settings = [f"{name} {_SAID.get(kind, kind)}" for name, kind in changes.settings.items()]
    # What stages before it are to write comes of itself.
    files = [
        f"{name} {_SAID.get(kind, kind)}" for name, kind in changes.inputs.items() if kind == "modified" or not before
    ]
    command = ["its command changed"] if changes.command else []
    results = [f"{name} {_RESULT.get(kind, kind)}" for name, kind in changes.results.items()]
    return [*settings, *files, *command, *results, *lacking]


def _some(reasons: Sequence[str]) -> str:
    more = [f"{len(reasons) - MOST} more"] if len(reasons) > MOST else []
    return "; ".join([*reasons[:MOST], *more])
