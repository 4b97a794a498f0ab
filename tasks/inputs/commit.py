"""The commit at which a stage runs."""

import subprocess

# A run writes these itself.
_RECORDS = ("dvc.lock", "metrics.json", "correlation.json")


def commit() -> str | None:
    """The commit that is checked out, and whether tracked files were changed since.

    Returns:
        Its first twelve digits, perhaps with words behind them; None where there is no git, no repository or no commit.
    """
    found = _git("rev-parse", "--short=12", "HEAD")
    if not found:
        return None
    changed = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", *(f":(exclude){name}" for name in _RECORDS)
    )
    return f"{found}, and changes since" if changed else found


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
