"""Processes that a flow forks, for instance to decode images: they leave the end of the flow to the flow."""

import os
import threading
from typing import Any


def forget_the_end_of_prefect() -> None:
    """Drop Prefect's hooks for the end of the process.

    They deliver the last logs and events, and fail in a fork, which has none of their threads: a worker that has done
    all its work would end with status 1, and whoever waits for it would raise.
    """
    hooks: list[Any] = getattr(threading, "_threading_atexits", [])
    hooks[:] = [hook for hook in hooks if not _is_of_prefect(hook)]


def _is_of_prefect(hook: Any) -> bool:
    # Hooks are wrapped in partials when they are registered.
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("prefect.")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_the_end_of_prefect)
