"""The evenly pruned network against a search over rates."""

import numpy as np

import eagleeye
from eagleeye import Budget
from eagleeye.channels import Space


def test_the_even_strategy_is_the_closest_single_rate(space: Space) -> None:
    even = eagleeye.even(space, Budget(macs=0.5))
    assert even.id == "even"
    assert len(set(even.rates)) == 1
    tried = [
        space.cost_of(np.array([space.widths_of([r] * len(space.groups))])).macs[0] for r in np.arange(0, 1, 0.005)
    ]
    best = min(abs(macs - space.full_cost.macs / 2) for macs in tried)
    assert abs(even.macs - space.full_cost.macs / 2) <= best
