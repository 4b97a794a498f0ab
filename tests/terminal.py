"""What a command says on its standard error, but for the lines that break a silence on a busy machine."""

import re

PULSE = re.compile(r"^[\w ]+: (starting|waiting for .*|.*, \d+ s)$")


def said(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not PULSE.match(line.rstrip("\n")))
