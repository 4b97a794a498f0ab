"""`eagleeye` on the command line: puts the pipeline into a folder, and runs what the folder's pipeline has to say."""

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from eagleeye.errors import EagleEyeError
from eagleeye.project.carried import source
from eagleeye.project.placing import put, renew

INSTALL = "pip install 'eagleeye-pruning[pipeline,onnx]'"
ASKED = {
    "check": "what would be pruned, what not and why, which budgets are within reach, how many minutes and how much"
    " disk it takes; runs nothing of the pipeline and changes nothing",
    "status": "which stages are up to date, and why the others are not",
    "settings": "explain every setting of params.yaml, or those of one section: `eagleeye settings strategies`",
}
_AFTER = (
    "Every command but init is for a folder that has the pipeline. `dvc repro` runs it; `python -m tasks` its stages."
)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        arguments: Without the program's name.

    Returns:
        Exit status: 0, or 1 after one line that says what to mend.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        _parser().print_help()
        print(flush=True)
        return _explain()
    word, *rest = arguments
    if word in ASKED and not {"-h", "--help"} & set(rest):
        return _ask(word, rest)
    options = _parser().parse_args(arguments)
    try:
        _init(options.folder, options.update)
    except EagleEyeError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(f"{options.folder}: {error.strerror}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eagleeye", description="Prune a trained CNN to a budget.", epilog=_AFTER)
    words = parser.add_subparsers(metavar="COMMAND", required=True)
    told = "put the pipeline's files into a folder of a git repository; overwrites nothing"
    init = words.add_parser("init", help=told, description=told)
    init.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="this one, if left out")
    renewed = "renew the pipeline's code with the installed one; params.yaml and own/ stay as they are"
    init.add_argument("--update", action="store_true", help=renewed)
    for word, told in ASKED.items():
        words.add_parser(word, help=told, description=told)
    return parser


def _init(folder: Path, update: bool) -> None:
    where = "this folder" if folder == Path() else folder
    if update:
        renewed = renew(folder)
        _tell(renewed.written, f"put into {where}", f"nothing to renew in {where}")
        _tell(renewed.removed, f"removed from {where}, which only the former one had")
        for name in renewed.kept:
            print(f"{name}: kept, because it was edited; the pipeline no longer has it")
        print("next: compare params.yaml with recipes/ if a setting is new; `eagleeye status`")
        return
    _tell(put(folder), f"put into {where}")
    first = [] if folder == Path() else [f"cd {folder}"]
    if any(find_spec(name) is None for name in ("dvc", "mlflow", "prefect")):
        first.append(INSTALL)
    steps = [*first, "your data and network in params.yaml", "eagleeye check", "git add . && git commit", "dvc repro"]
    print(f"next: {'; '.join(steps)}")
    print("`eagleeye settings` explains every setting; own/ is for code of your own, checkpoints/ for trained weights")


def _tell(names: list[str], done: str, otherwise: str = "") -> None:
    if names or otherwise:
        print(f"{len(names)} files of the pipeline {done}" if names else otherwise)


def _ask(word: str, rest: list[str]) -> int:
    """Run a command of the pipeline in the working directory."""
    if not Path("tasks", "params.py").is_file():
        if word == "settings":
            return _explain(rest)
        return _refused(f"{Path.cwd()} has no pipeline: `eagleeye init` puts it there, or change to the folder with it")
    return _run(Path.cwd(), word, rest)


def _explain(sections: list[str] | None = None) -> int:
    """Explain the settings, of the folder's pipeline or of the one that is carried."""
    here = Path.cwd()
    return _run(here if (here / "tasks" / "params.py").is_file() else source(), "settings", sections or [])


def _run(root: Path, word: str, rest: list[str]) -> int:
    if missing := [name for name in ("pydantic", "rich", "ruamel.yaml") if not _installed(name)]:
        return _refused(f"the pipeline needs {', '.join(missing)}: {INSTALL}")
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "tasks", word, *rest]
    settings = {**os.environ, "PYTHONPATH": path}
    # In the folder: Python looks for modules where it runs before anywhere else.
    return subprocess.run(command, cwd=root, env=settings, check=False).returncode  # noqa: S603


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package around it
        return False


def _refused(line: str) -> int:
    print(f"eagleeye: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
