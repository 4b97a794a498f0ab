"""The CPU cores that this process may use."""

import os


def usable_cores() -> int:
    """Their number: a container may be given fewer cores than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
