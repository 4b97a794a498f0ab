"""Criteria by name, and functions of a user's own that do as they please."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.errors import ConfigError, StrategyError
from eagleeye.importance import criterion
from tests.eagleeye.networks import Plain, lively

NAMES = ("l1", "l2", "bn_scale", "geometric_median", "taylor", "obs", "random")
BATCHES = [(torch.linspace(-1, 1, 3 * 3 * 12 * 12).reshape(3, 3, 12, 12), torch.tensor([0, 4, 2]))]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return lively(Plain())


@pytest.fixture(scope="module")
def space(network: nn.Module) -> eagleeye.Space:
    return eagleeye.trace(network, torch.randn(1, 3, 12, 12))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A module with a function `score` whose result or exception the test sets."""
    state = SimpleNamespace(result=None, calls=[])

    def score(model: nn.Module, space: eagleeye.Space) -> Any:
        state.calls.append((model, space))
        if isinstance(state.result, Exception):
            raise state.result
        return state.result

    module = ModuleType("my_criterion")
    module.score = score
    monkeypatch.setitem(sys.modules, "my_criterion", module)
    return state


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_an_array_for_each_group_and_the_same_again(
    network: nn.Module, space: eagleeye.Space, name: str
) -> None:
    found = criterion(name, batches=BATCHES)(network, space)
    assert [(scores.shape, scores.dtype) for scores in found] == [((8,), np.float64), ((12,), np.float64)]
    torch.manual_seed(5)
    np.random.seed(5)
    again = pickle.loads(pickle.dumps(criterion(name, batches=BATCHES)))(network, space)  # noqa: S301
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_what_scores_least_goes(network: nn.Module, space: eagleeye.Space, name: str) -> None:
    ask = criterion(name, batches=BATCHES)
    thin = eagleeye.prune(network, space, [0.5, 0.0], criterion=ask)
    keep = sorted(sorted(range(8), key=lambda channel: ask(network, space)[0][channel])[4:])
    assert torch.equal(thin.get_parameter("a.0.weight"), network.a[0].weight[keep])


def test_random_follows_its_seed_alone(network: nn.Module, space: eagleeye.Space) -> None:
    one, other = criterion("random", seed=1)(network, space), criterion("random", seed=2)(network, space)
    assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[0], one[1][:8])
    elsewhere = criterion("random", seed=1)(lively(Plain(), seed=3), space)
    assert all(np.array_equal(a, b) for a, b in zip(one, elsewhere, strict=True))
    drawn = [tuple(np.argsort(criterion("random", seed=seed)(network, space)[0])) for seed in range(200)]
    firsts = np.bincount([order[0] for order in drawn], minlength=8)
    assert firsts.min() > 8  # of 25 expected


def test_an_own_function_is_asked_and_its_numbers_taken(
    network: nn.Module, space: eagleeye.Space, own: SimpleNamespace
) -> None:
    own.result = (range(8), torch.arange(12, dtype=torch.bfloat16, requires_grad=True))
    found = criterion("my_criterion:score")(network, space)
    assert own.calls == [(network, space)]
    assert [scores.tolist() for scores in found] == [list(range(8)), list(range(12))]
    assert {scores.dtype for scores in found} == {np.dtype(np.float64)}


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (ValueError("no\nidea"), "^criterion my_criterion:score failed: ValueError: no idea$"),
        (None, "^criterion my_criterion:score returned NoneType; needed is a list of 2 arrays, one for each group$"),
        ([np.ones(8)], "returned list of 1 entries; needed is a list of 2 arrays"),
        ({"a.0": np.ones(8), "b.0": np.ones(12)}, "returned dict of 2 entries; needed is a list"),
        ([np.ones(8), np.ones(11)], r"scores of group 'b.0' have shape \(11,\); needed is \(12,\)$"),
        ([np.ones((8, 1)), np.ones(12)], r"scores of group 'a.0' have shape \(8, 1\); needed is \(8,\)$"),
        ([["a"] * 8, np.ones(12)], "scores of group 'a.0' are no array of numbers: ValueError"),
        ([None, np.ones(12)], r"scores of group 'a.0' have shape \(\)"),
        ([np.ones(8), [1.0] * 4 + [float("nan")] * 8], "the score of channel 4 of group 'b.0' is nan"),
        ([[float("inf")] + [1.0] * 7, np.ones(12)], "the score of channel 0 of group 'a.0' is inf"),
    ],
)
def test_its_mistakes_are_one_line(
    network: nn.Module, space: eagleeye.Space, own: SimpleNamespace, result: object, message: str
) -> None:
    own.result = result
    with pytest.raises(StrategyError, match=message) as caught:
        criterion("my_criterion:score")(network, space)
    assert "\n" not in str(caught.value)


def test_an_error_of_this_library_keeps_its_words(
    network: nn.Module, space: eagleeye.Space, own: SimpleNamespace
) -> None:
    own.result = ConfigError("temperature: -1 must be positive")
    with pytest.raises(ConfigError, match=r"^temperature: -1 must be positive$"):
        criterion("my_criterion:score")(network, space)


def test_broken_weights_are_named(space: eagleeye.Space) -> None:
    network = lively(Plain())
    network.b[0].weight.data[3, 0] = float("nan")
    with pytest.raises(StrategyError, match=r"criterion l1: the score of channel 3 of group 'b\.0' is nan"):
        criterion("l1")(network, space)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "geometric_medain"},
            r"criterion 'geometric_medain' is none of l1, .*did you mean geometric_median\?",
        ),
        ({"name": "hessian"}, "is none of .*nor package.module:function$"),
        ({"name": "l1", "aggregate": "maxx"}, r"aggregate 'maxx' is none of sum, mean, max, first; did you mean max\?"),
        ({"name": "no_such_module:score"}, "there is no module 'no_such_module'"),
        ({"name": "random", "seed": -1}, "seed: -1 is negative"),
        ({"name": "random", "aggregate": "max"}, "aggregate: 'max' has no effect on criterion random"),
        ({"name": "json:loads", "aggregate": "mean"}, "aggregate: 'mean' has no effect on criterion json:loads"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        criterion(**settings)
