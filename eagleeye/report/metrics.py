"""The report's figures as a flat mapping, for dashboards and comparisons between searches."""

import pandas as pd

from eagleeye.report.data import EVEN, ReportData
from eagleeye.scoring.paired import Paired, compare
from eagleeye.task.scores import VANILLA


def metrics(data: ReportData) -> dict[str, float]:
    """Flatten a report into numbers.

    Args:
        data: The report.

    Returns:
        ``baseline_X`` and ``pruned_X`` for the two scores that are told of the test images, in classification accuracy
        (in [0, 1]) and loss, for metrics of the whole test set, macs, params, bytes, and latency_ms (median at
        the smallest batch size; ``latency_ms_batch_N`` for larger ones); macs_fraction, params_fraction and
        bytes_fraction of the baseline's; speedup (and ``speedup_batch_N``); accuracy_change and
        ahead_of_even, of the winner, on the test_images, and with ``_low`` and ``_high`` the ends of their intervals
        (level 95 %), as for the first score of both; best_score, the
        winner's before fine-tuning (and best_score_vanilla); candidates; ``NAME_accuracy``, or what else the first
        score is called, of every other network, and even_accuracy also where the evenly pruned network is the winner.
    """
    flat: dict[str, float] = {"candidates": len(data.candidates)}
    first = data.by.name
    for role, network in (("baseline", data.baseline), ("pruned", data.pruned)):
        facts = {first: network.score, data.by.second.name: network.second, **network.metrics}
        facts |= {name: getattr(network, name) for name in ("macs", "params", "bytes")}
        flat |= {f"{role}_{name.replace(' ', '_')}": value for name, value in facts.items()}
        flat[f"{role}_{first}_low"], flat[f"{role}_{first}_high"] = network.interval
    for fact in ("macs", "params", "bytes"):
        flat[f"{fact}_fraction"] = flat[f"pruned_{fact}"] / flat[f"baseline_{fact}"]
    flat |= _difference(f"{first}_change", compare(data.pruned.evidence, data.baseline.evidence), data.by.first.sign)
    if data.even is not None:
        flat |= _difference("ahead_of_even", compare(data.pruned.evidence, data.even.evidence))
    flat["test_images"] = data.pruned.images
    flat["best_score"] = float(data.winner[first])
    if data.has_vanilla:
        flat["best_score_vanilla"] = float(data.winner[VANILLA + first])
    flat |= {f"{network.name}_{first}": network.score for network in data.others}
    if data.pruned.name == EVEN:  # so that searches can be compared whoever won
        flat[f"{EVEN}_{first}"] = data.pruned.score
    return flat | _latency(data.latency)


def _difference(name: str, found: Paired, sign: int = 1) -> dict[str, float]:
    """A comparison, or the change that it stands for where less is better."""
    low, high = sorted((sign * found.low, sign * found.high))
    return {name: sign * found.difference, f"{name}_low": low, f"{name}_high": high}


def _latency(table: pd.DataFrame) -> dict[str, float]:
    flat: dict[str, float] = {}
    for row in table[table["model"].isin(["baseline", "pruned"])].to_dict("records"):
        suffix = "" if row["batch_size"] == table["batch_size"].min() else f"_batch_{row['batch_size']}"
        flat[f"{row['model']}_latency_ms{suffix}"] = row["median_ms"]
        if row["model"] == "pruned":
            flat[f"speedup{suffix}"] = row["speedup"]
    return flat
