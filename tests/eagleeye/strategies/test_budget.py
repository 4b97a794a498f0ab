"""Budgets that cannot be meant."""

import pytest

from eagleeye import Budget
from eagleeye.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({}, "neither"),
        ({"macs": 0.0}, "macs: 0.0"),
        ({"params": -1}, "params: -1"),
        ({"latency": float("inf")}, "latency: inf"),
        ({"macs": 0.5, "tolerance": 1}, "tolerance: 1"),
    ],
)
def test_budgets_out_of_range_are_refused(options: dict[str, float], culprit: str) -> None:
    with pytest.raises(ConfigError, match=culprit):
        Budget(**options)


def test_given_targets_are_known_by_name() -> None:
    assert Budget(macs=0.5, latency=12.5).targets == {"macs": 0.5, "latency": 12.5}
