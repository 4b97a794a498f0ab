"""What a worker's flow run prints goes to a file: nobody is at the end of the worker's pipe when that has died."""

import os
import sys
from pathlib import Path

LOG = Path(".prefect") / "flow-runs.log"


def write_to_own_log() -> None:
    """From now on print to the log of this folder's flow runs; only where a worker started this process."""
    if "PREFECT__WORKER_NAME" not in os.environ:
        return
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
