"""The criterion on networks nobody drew up: random recipes of all constructs, random strategies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import eagleeye
from eagleeye.check import relative_difference
from eagleeye.engine.adaptable import Adaptable
from eagleeye.errors import TraceError
from tests.eagleeye.grammar import RandomNetwork, Recipe, recipes
from tests.eagleeye.networks import lively
from tests.eagleeye.test_prune import counted_macs, counted_params

STRATEGIES = 2
"""Random strategies per network."""

_LEFT = (("stack", 10, (("grouped", 2, 5),), (("transposed", 3, 11), ("prelu", 10, 5))),)
PADDED: Recipe = (
    ("concat", 0, (("scale", 0, 3), ("norm", 10, 4)), (("grouped", 5, 9),)),
    ("scale", 11, 2),
    ("concat", 9, _LEFT, (("pad", 4, 11),)),
    ("residual", 10, (("slice", 1, 10),), (("conv", 1, 0), ("conv", 11, 4), ("scale", 10, 8))),
)
"""Found by the long test: zeros padded to channels that all stay are cut with the filters they are added to."""


def meets_the_criterion(recipe: Recipe, seed: int) -> None:
    torch.manual_seed(seed)
    network, x = lively(RandomNetwork(recipe), seed), torch.randn(2, 3, 6, 6)
    before, given = pickle.dumps(network), x.clone()
    try:
        space = eagleeye.trace(network, x[:1])
    except TraceError as error:
        assert "no convolution's filters can be removed" in str(error)
        return
    rng = np.random.default_rng(seed)
    for top in rng.choice([0.3, 0.7, 1.0], STRATEGIES):
        rates = rng.uniform(0, top, len(space.groups)).tolist()
        assert eagleeye.check(network, space, rates, x) < 1e-9
        thin, cost = eagleeye.prune(network, space, rates), space.cost_of(np.array([space.widths_of(rates)]))
        folded = Adaptable(copy.deepcopy(thin), torch.float32).fold()
        with torch.no_grad():
            assert relative_difference(folded(x), thin(x)) < 1e-3
        assert (int(cost.macs[0]), int(cost.params[0])) == (counted_macs(thin, x), counted_params(thin))
    assert pickle.dumps(network) == before and torch.equal(x, given)


slowly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(recipe=recipes, seed=st.integers(0, 10**6))
@example(recipe=PADDED, seed=34873)
@settings(slowly, max_examples=25)
def test_random_networks_meet_the_criterion(recipe: Recipe, seed: int) -> None:
    meets_the_criterion(recipe, seed)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@given(recipe=recipes, seed=st.integers(0, 10**6))
@settings(slowly, max_examples=300)
def test_hundreds_of_random_networks_meet_the_criterion(recipe: Recipe, seed: int) -> None:
    meets_the_criterion(recipe, seed)
