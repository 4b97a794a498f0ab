"""Ctrl-C is answered at once, by a process that cannot stop at once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from tasks.__main__ import STAGES, STUDIES
from tasks.run.stopping import KEPT, stopping_line

ROOT = Path(__file__).resolve().parents[3]
# Nothing interrupts the derivation of a key.
BUSY = """
import hashlib, threading
from tasks.run.stopping import answered
try:
    with answered("stopping"):
        # Told when it is certainly at work: interrupted before, it would end at once.
        threading.Timer(0.5, print, ["begun"], {"flush": True}).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 12_000_000)
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def test_the_answer_does_not_wait_for_what_is_at_hand() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    times = {}
    for line in process.stdout:
        times[line.strip()] = time.monotonic()
        if line == "begun\n":
            process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert list(times) == ["begun", "stopping", "ended"]
    assert times["ended"] - times["stopping"] > 0.3


def test_every_stage_says_what_it_keeps() -> None:
    assert KEPT.keys() == {"baseline", "evaluate", "finetune", "correlation"} & {*STAGES, *STUDIES}
    assert stopping_line("evaluate") == (
        "evaluate: stopping; scored candidates are kept, and the same command goes on from there"
    )
    assert "what earlier stages made is kept" in stopping_line("rank")
