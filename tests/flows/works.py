"""Work for Ray's processes, which look it up by its module."""

import os
import time
from pathlib import Path

from eagleeye.errors import BudgetError
from tasks.parcel import Parcel


def square_but_die_once(shared: Parcel, item: int) -> int:
    """The parcel's key names a file that remembers the death."""
    if item == 3 and not Path(shared.key).exists():
        Path(shared.key).touch()
        os._exit(1)
    return item**2


def refuse(_shared: Parcel, _item: int) -> int:
    raise BudgetError("a number is below 0:\nuse larger ones")


def take_long(_shared: Parcel, item: int) -> int:
    time.sleep(600 if item else 0)
    return item
