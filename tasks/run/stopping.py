"""Answers Ctrl-C at once, before what is at hand has ended. Imports nothing that takes time to import."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

KEPT = {
    "baseline": "finished epochs are kept",
    "evaluate": "scored candidates are kept",
    "finetune": "finished epochs are kept",
    "correlation": "finished fine-tunings and epochs are kept",
}
"""By stage: what is on record when it is stopped, besides what the stages before it have made."""


def stopping_line(stage: str) -> str:
    """What is said when a stage is stopped.

    Args:
        stage: Its name.
    """
    kept = KEPT.get(stage, "what earlier stages made is kept")
    return f"{stage}: stopping; {kept}, and the same command goes on from there"


@contextmanager
def answered(line: str) -> Iterator[None]:
    """While it is entered, say a line on standard error as soon as Ctrl-C is pressed.

    A thread says it: the interpreter raises `KeyboardInterrupt` only when the operation at hand has ended, and cleaning
    up takes its time, too.

    Args:
        line: What is said, once.
    """
    told, heard = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    listener = Thread(target=_listen, args=(heard, line), name="stopping", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()
        listener.join()
        heard.close()


def _listen(heard: socket.socket, line: str) -> None:
    said = False
    while numbers := heard.recv(64):
        if signal.SIGINT in numbers and not said:
            said = True
            print(line, file=sys.stderr, flush=True)
