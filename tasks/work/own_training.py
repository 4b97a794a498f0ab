"""Fine-tuning by a loop of the user's own: told row by row, and gone on with where a killed one stopped."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from torch import nn

from eagleeye.errors import ConfigError
from eagleeye.task import Order
from eagleeye.train import current_share, train_by
from eagleeye.train.loop import SPEED, history_columns
from tasks.artifacts import write_text
from tasks.inputs.loop import Loop

Row = dict[str, float]
_TOLD = "told.json"
_OWN = "own"
_TAKEN = ("id", "seed", SPEED)


def run_loop(
    loop: Loop, network: nn.Module, folder: Path, by: Order, told: Callable[[list[Row]], None]
) -> tuple[nn.Module, list[Row]]:
    """Have the user's loop train a network.

    Args:
        loop: The function.
        network: Left as it is, on the device where it is to be trained.
        folder: Of this training alone, whenever it goes on; the loop's own folder lies in it.
        by: What the network is validated by afterwards.
        told: Given all rows so far after each that the loop tells; epochs count on where a killed call stopped.

    Returns:
        The trained network, and all rows.

    Raises:
        EagleEyeError: See `eagleeye.train.train_by`.
        ConfigError: It tells under a name that is taken, or several processes would call it.
    """
    if current_share().world > 1:
        raise ConfigError("finetune.trainer: your loop is called once; start without torchrun, and let it do the same")
    rows = _earlier(folder)
    taken = {*_TAKEN, *(name for name in history_columns(by) if name.startswith("validation_"))}

    def on_epoch(row: Row) -> None:
        if names := sorted(taken & row.keys()):
            raise ConfigError(f"finetune.trainer: it told {names[0]}, a name that is taken; tell it by another one")
        rows.append(row | {"epoch": len(rows) + 1})
        write_text(folder / _TOLD, json.dumps(rows))
        told(rows)

    return train_by(loop, network, folder / _OWN, on_epoch).network, rows


def history_of(rows: Iterable[Row], by: Order, scores: dict[str, float]) -> pd.DataFrame:
    """What a loop has told, and how its network was validated in the end, as the history of a training.

    Args:
        rows: What it told.
        by: What networks are validated by.
        scores: Of the network that it returned.

    Returns:
        The columns of every history, without speed, then those of the loop; what is not known is NaN.
    """
    found = list(rows) or [{"epoch": 1}]
    found[-1] = found[-1] | {f"validation_{each.name}": scores[each.name] for each in (by.first, by.second)}
    table = pd.DataFrame(found)
    usual = [name for name in history_columns(by) if name != SPEED]
    table = table.reindex(columns=[*usual, *(name for name in table if name not in usual)])
    return table.astype(dict.fromkeys(table, "float64") | {"epoch": "int64"})


def _earlier(folder: Path) -> list[Row]:
    """The rows of a killed call; a loop that has kept nothing begins anew, and tells everything again."""
    own = folder / _OWN
    path = folder / _TOLD
    if not path.is_file() or not own.is_dir() or not any(own.iterdir()):
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return rows
