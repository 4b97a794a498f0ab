import math

import pytest

from eagleeye.report import metrics


def test_the_numbers_are_those_of_the_two_networks(report):
    found = metrics(report)
    assert found["baseline_accuracy"] == 0.8808
    assert found["pruned_accuracy"] == 0.8695
    assert found["accuracy_change"] == pytest.approx(-0.0113)
    # All 113 images apart are won by the full network, half an image is added to every cell: Agresti and Min (2005).
    half = 1.959964 * math.sqrt(114 - 113**2 / 10_002) / 10_002
    assert found["accuracy_change_low"] == pytest.approx(-113 / 10_002 - half)
    assert found["accuracy_change_high"] == pytest.approx(-113 / 10_002 + half)
    assert found["ahead_of_even"] == pytest.approx(0.0183)
    assert found["test_images"] == 10_000
    assert found["pruned_accuracy_low"] < 0.8695 < found["pruned_accuracy_high"]
    assert (found["baseline_macs"], found["pruned_macs"], found["macs_fraction"]) == (40_000_000, 20_000_000, 0.5)
    assert (found["pruned_params"], found["params_fraction"]) == (135_000, 0.5)
    assert (found["pruned_bytes"], found["bytes_fraction"]) == (570_000, pytest.approx(57 / 110))
    assert found["even_accuracy"] == 0.8512


def test_the_smallest_batch_gives_the_latency_and_larger_ones_are_named(report):
    found = metrics(report)
    assert (found["baseline_latency_ms"], found["pruned_latency_ms"], found["speedup"]) == (8, 5, 1.6)
    assert found["pruned_latency_ms_batch_32"] == 64
    assert found["speedup_batch_32"] == 1.875


def test_scores_are_the_winners_and_references_are_not_counted(report):
    found = metrics(report)
    ranked = report.ranking[report.ranking["id"] != "even"]
    best = ranked.loc[ranked["accuracy"].idxmax()]
    assert found["candidates"] == 40
    assert found["best_score"] == best["accuracy"]
    assert found["best_score_vanilla"] == best["vanilla_accuracy"]


def test_without_vanilla_scores_and_latency_their_numbers_are_left_out(make_report):
    report = make_report(vanilla=False)
    found = metrics(make_report(vanilla=False, latency=report.latency.head(0)))
    assert not [name for name in found if "vanilla" in name or "latency" in name or "speedup" in name]
