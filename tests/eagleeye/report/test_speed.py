import pandas as pd

from eagleeye.latency.parts import PART_COLUMNS
from eagleeye.report.speed import FLOOR, reasons

PARTS = pd.DataFrame(
    [
        (1, "lighter", 7, 40_000_000, 18_000_000, 4.0, 3.0),
        (1, "unchanged", 1, 1_000_000, 1_000_000, 0.05, 0.05),
        (1, "depthwise", 2, 1_000_000, 1_000_000, 1.0, 0.95),
        (1, "rest", 0, 0, 0, 3.0, 1.0),
    ],
    columns=PART_COLUMNS,
)


def plain(sentences):
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def test_each_sentence_repeats_what_was_measured(make_report):
    latency = make_report().latency
    floor = latency.iloc[[0]].assign(model=FLOOR, median_ms=2.0, speedup=4.0)
    told = plain(reasons(make_report(latency=pd.concat([latency, floor]), parts=PARTS)))
    assert "Batch 1: 62 % of the time for 50 % of the MACs." in told
    assert "With a single channel in every group it would be 2.00 ms, 25 % of the full network's time" in told
    assert "20 % of the pruned network's time, with no MACs, goes to all else" in told
    assert "(3.00 ms before, 1.00 ms now)" in told
    assert "19 % of the pruned network's time, with 5 % of its MACs, goes to depthwise convolutions" in told
    assert "kept 45 % of their MACs and 75 % of their time" in told


def test_what_does_not_matter_is_not_told(make_report):
    told = plain(reasons(make_report(parts=PARTS)))
    assert "lost nothing" not in told, "1 % of the time"
    assert "single channel" not in told, "not measured"
    assert "Batch 32" not in told, "as fast there as the MACs promise: 1.875 times"


def test_a_network_that_is_as_fast_as_its_macs_promise_needs_no_reasons(make_report):
    fast = make_report().latency.assign(speedup=[1.0, 2.0, 1.0, 2.1])
    assert reasons(make_report(latency=fast, parts=PARTS)) == []


def test_a_latency_that_was_not_measured_needs_none(make_report):
    assert reasons(make_report(latency=make_report().latency.head(0))) == []
