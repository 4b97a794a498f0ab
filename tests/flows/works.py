"""Work for Ray's processes, which look it up by its module."""

import os
import time
from pathlib import Path

from eagleeye.errors import BudgetError
from tasks.run.shared import Shared


def square_but_die_once(shared: Shared, item: int) -> int:
    """The key names a file that remembers the death."""
    if item == 3 and not Path(shared.key).exists():
        Path(shared.key).touch()
        os._exit(1)
    return item**2


def refuse(_shared: Shared, _item: int) -> int:
    raise BudgetError("a number is below 0:\nuse larger ones")


def take_long(_shared: Shared, item: int) -> int:
    time.sleep(600 if item else 0)
    return item
