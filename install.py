"""`.venv/bin/python install.py EXTRAS`: the project with its pinned dependencies, by uv where it can, else by pip.

uv does it in a third of pip's time. It reads none of pip's settings: what they say of indexes is handed on, and where
they say what uv would not do likewise, pip does the work.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping

PINNED = ["--constraint", "constraints.txt"]
PIP = [sys.executable, "-m", "pip"]
# One index is worth as much as another, as pip has it.
UV = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--index-strategy", "unsafe-best-match"]
# pip's setting, what uv reads, and what lies between several values there.
HANDED_ON = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "cert": ("SSL_CERT_FILE", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}
WITHOUT_EFFECT = {
    *("cache-dir", "disable-pip-version-check", "no-cache-dir", "no-color", "no-input", "no-warn-script-location"),
    *("progress-bar", "quiet", "require-virtualenv", "retries", "root-user-action", "verbose"),
}
SECTIONS = ("global", "install", ":env:")  # each beats the ones before it


def main(extras: str) -> int:
    """Install.

    Args:
        extras: Names of the project's extras, with commas between them.

    Returns:
        Exit status, pip's or uv's.
    """
    project = [*PINNED, "--editable", f".[{extras}]"]
    told = subprocess.run([*PIP, "config", "list"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    settings = for_uv(told)
    if settings is not None and _run([*PIP, "install", "--quiet", *PINNED, "uv"], {}) == 0:
        if _run([*UV, "--quiet", *project], settings) == 0:
            return 0
        print("uv cannot install this here: now with pip, which takes some minutes", file=sys.stderr)
    return _run([*PIP, "install", "--quiet", *project], {})


def for_uv(told: str) -> dict[str, str] | None:
    """Translate pip's settings into those that uv reads.

    Args:
        told: What `pip config list` says.

    Returns:
        Environment variables; None: something is set that uv would not do likewise.
    """
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in told.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found:
            found[section][key] = str(ast.literal_eval(value))
    settings = {key: value for section in SECTIONS for key, value in found[section].items()}
    if settings.keys() - HANDED_ON.keys() - WITHOUT_EFFECT:
        return None
    pairs = [(*HANDED_ON[key], value) for key, value in settings.items() if key in HANDED_ON]
    return {variable: between.join(value.split()) for variable, between, value in pairs}


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
