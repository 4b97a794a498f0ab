"""A flow that takes its time: `python slow.py run ITEMS` runs it, `python slow.py serve` waits for runs.

What is kept is a line of kept.txt in the working directory; what is there is not worked on again.
"""

import signal
import sys
import time
from pathlib import Path

from prefect import flow

from flows.prefect_context import FlowContext
from tasks.run.shared import Shared
from tasks.settings import read_params

KEPT = Path("kept.txt")


def work(_shared: Shared, item: int) -> int:
    time.sleep(0.2)
    return item


def keep(item: int, _row: int) -> None:
    with KEPT.open("a") as file:
        file.write(f"{item}\n")


@flow(name="slow")
def slow(items: int = 1000) -> None:
    done = set(KEPT.read_text().split()) if KEPT.exists() else set()
    left = [item for item in range(items) if str(item) not in done]
    shared = Shared(read_params(Path("params.yaml")), "key", (), "cpu")
    for _row in FlowContext("slow").map(work, left, shared, keep=keep, batch=150, workers=2):
        pass


if __name__ == "__main__":
    # A shell that starts the tests in the background has their processes ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1] == "run":
        slow(int(sys.argv[2]))
    else:
        slow.serve("slow")
