"""The report's figures as a flat mapping, for dashboards and comparisons between searches."""

import pandas as pd

from eagleeye.report.data import EVEN, ReportData
from eagleeye.scoring.paired import Paired, compare


def metrics(data: ReportData) -> dict[str, float]:
    """Flatten a report into numbers.

    Args:
        data: The report.

    Returns:
        ``baseline_X`` and ``pruned_X`` for accuracy (in [0, 1]), loss, macs, params, bytes, and latency_ms (median at
        the smallest batch size; ``latency_ms_batch_N`` for larger ones); macs_fraction, params_fraction and
        bytes_fraction of the baseline's; speedup (and ``speedup_batch_N``); accuracy_change and
        ahead_of_even, of the winner, on the test_images, and with ``_low`` and ``_high`` the ends of their intervals
        (level 95 %), as for both accuracies; best_score, the
        winner's accuracy before fine-tuning (and best_score_vanilla); candidates; ``NAME_accuracy`` of every other
        network, and even_accuracy also where the evenly pruned network is the winner.
    """
    flat: dict[str, float] = {"candidates": len(data.candidates)}
    for role, network in (("baseline", data.baseline), ("pruned", data.pruned)):
        for fact in ("accuracy", "loss", "macs", "params", "bytes"):
            flat[f"{role}_{fact}"] = getattr(network, fact)
        flat[f"{role}_accuracy_low"], flat[f"{role}_accuracy_high"] = network.interval
    for fact in ("macs", "params", "bytes"):
        flat[f"{fact}_fraction"] = flat[f"pruned_{fact}"] / flat[f"baseline_{fact}"]
    flat |= _difference("accuracy_change", compare(data.pruned.hits, data.baseline.hits))
    if data.even is not None:
        flat |= _difference("ahead_of_even", compare(data.pruned.hits, data.even.hits))
    flat["test_images"] = len(data.pruned.hits)
    flat["best_score"] = float(data.winner["accuracy"])
    if data.has_vanilla:
        flat["best_score_vanilla"] = float(data.winner["vanilla_accuracy"])
    flat |= {f"{network.name}_accuracy": network.accuracy for network in data.others}
    if data.pruned.name == EVEN:  # so that searches can be compared whoever won
        flat[f"{EVEN}_accuracy"] = data.pruned.accuracy
    return flat | _latency(data.latency)


def _difference(name: str, found: Paired) -> dict[str, float]:
    return {name: found.difference, f"{name}_low": found.low, f"{name}_high": found.high}


def _latency(table: pd.DataFrame) -> dict[str, float]:
    flat: dict[str, float] = {}
    for row in table[table["model"].isin(["baseline", "pruned"])].to_dict("records"):
        suffix = "" if row["batch_size"] == table["batch_size"].min() else f"_batch_{row['batch_size']}"
        flat[f"{row['model']}_latency_ms{suffix}"] = row["median_ms"]
        if row["model"] == "pruned":
            flat[f"speedup{suffix}"] = row["speedup"]
    return flat
