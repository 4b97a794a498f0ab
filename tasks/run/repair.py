"""repair: puts aside what a kill has left half-written of DVC's own files; a flow does it before it begins."""

from pathlib import Path

from tasks.params import Params
from tasks.run.context import Context
from tasks.run.walk import repair


def run(_params: Params, context: Context) -> None:
    """Repair, and say what was torn.

    Raises:
        ConfigError: Another process is at work.
    """
    for line in repair(Path.cwd()) or ["nothing was torn"]:
        context.say(f"repair: {line}")
