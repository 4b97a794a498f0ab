"""`python -m tasks STAGE`: the command behind each stage of dvc.yaml."""

import argparse
import importlib
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tasks.run.pulse import TerminalPulse
from tasks.run.stopping import answered, stopping_line

if TYPE_CHECKING:
    from tasks.params import Params
    from tasks.run.console import Terminal

STAGES = ("watch", "subset", "baseline", "strategies", "evaluate", "rank", "finetune", "report")
STUDIES = ("correlation",)
LONG = ("baseline", "evaluate", "finetune")
"""Stages that begin with a word on how long it takes from there."""
HELPERS = {"record": "tasks.record.command", "repair": "tasks.run.repair"}
ASKED = {"check": "tasks.ahead.check", "status": "tasks.ahead.status", "settings": "tasks.ahead.settings"}
"""What only tells something: it waits for no run, and no run waits for it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one stage in the working directory.

    Args:
        arguments: Command line without the program's name.

    Returns:
        Exit status: 0; 1 after one red line that says what to mend; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    with TerminalPulse(options.stage), answered(stopping_line(options.stage)):
        try:
            return _told(options.stage, options.sections)
        except KeyboardInterrupt:
            print(f"{options.stage}: interrupted; run the same command again to continue", file=sys.stderr)
            return 130


def _told(stage: str, sections: list[str]) -> int:
    # Imported here, as PyTorch comes with them: the pulse tells that this takes its time.
    from rich.console import Console

    from eagleeye.errors import EagleEyeError

    try:
        if stage in ASKED:
            _load(ASKED[stage]).run(sections)
        else:
            _run(stage)
    except EagleEyeError as error:
        line = " ".join(str(error).split())
        console = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        console.print(f"{stage}: {line}", style="red", markup=False)
        return 1
    except BrokenPipeError:  # whoever reads has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _run(stage: str) -> None:
    from eagleeye.project.library import require_same

    require_same(Path.cwd())
    # Only now: with another library than the folder's, modules may be missing.
    from tasks.run.aside import link_what_git_leaves_out
    from tasks.run.console import Terminal
    from tasks.settings import read_params

    with _alone(stage):
        params = read_params(Path("params.yaml"))
        link_what_git_leaves_out(params)
        body = importlib.import_module(_module(stage)).run
        context = Terminal()
        if stage in LONG:
            _estimate(stage, params, context)
        body(params, context)


def _estimate(stage: str, params: "Params", context: "Terminal") -> None:
    # Only here: PyTorch's exporters come along, which short stages do without.
    from tasks.ahead.forecast import process_start
    from tasks.ahead.rough import rest

    if line := rest(stage, params, process_start()):
        context.say(line)


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        from eagleeye.project.library import require_same

        require_same(Path.cwd())
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tasks", description="Run one stage of the pipeline.")
    told = "what to run; `dvc repro` runs all that is out of date; `record` tells MLflow what is in artifacts/;"
    told += " `repair` puts aside what a kill has left half-written of DVC's own files; `check` says what a run would"
    told += " do, `status` what is up to date, `settings` what every setting means"
    parser.add_argument("stage", choices=(*STAGES, *STUDIES, *HELPERS, *ASKED), help=told)
    parser.add_argument("sections", nargs="*", help="of `settings`: sections of params.yaml; all, if left out")
    return parser


def _module(name: str) -> str:
    return HELPERS.get(name, f"tasks.stages.{name}")


def _alone(stage: str) -> AbstractContextManager[None]:
    from tasks.run.lock import only_run

    # Under torchrun the first process speaks for its fellows.
    return only_run(f"stage {stage}") if os.environ.get("RANK", "0") == "0" else nullcontext()


if __name__ == "__main__":
    sys.exit(main())
