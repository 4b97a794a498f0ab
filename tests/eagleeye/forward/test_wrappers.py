"""Networks in what others wrap around them: the same as the network itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import eagleeye
from eagleeye.errors import ModelError
from eagleeye.forward.wrappers import unwrapped
from tests.eagleeye.networks import Residual, lively

X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
WRAPPERS: list[Any] = [
    nn.DataParallel,
    AveragedModel,
    lambda network: torch.compile(network, backend="eager"),
    lambda network: nn.DataParallel(AveragedModel(torch.compile(network, backend="eager"))),
]


def compiled_in_place(network: nn.Module) -> nn.Module:
    network.compile(backend="eager")
    return network


@pytest.mark.parametrize("wrap", [*WRAPPERS, compiled_in_place])
def test_a_wrapped_network_is_pruned_like_the_network(wrap: Any, tmp_path: Path) -> None:
    network = lively(Residual()).eval()
    bare = eagleeye.trace(network, X)
    rates = [0.5] * len(bare.groups)
    expected = eagleeye.prune(network, bare, rates)
    wrapped = wrap(network).eval()
    space = eagleeye.trace(wrapped, X)
    assert space.groups == bare.groups
    assert space.full_cost == bare.full_cost
    assert eagleeye.check(wrapped, space, rates, X) < 1e-9
    thin = eagleeye.prune(wrapped, space, rates)
    assert thin.state_dict().keys() == expected.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(thin(X), expected(X))
    eagleeye.save(nn.DataParallel(thin), tmp_path / "thin.safetensors")
    with torch.no_grad():
        assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(X), expected(X))


def test_the_network_inside_is_the_very_same() -> None:
    network = Residual()
    assert unwrapped(nn.DataParallel(nn.DataParallel(network))) is network
    assert unwrapped(network) is network


def test_scripts_and_what_is_no_network_are_refused() -> None:
    scripted = torch.jit.trace(Residual().eval(), X)
    for model, message in ((scripted, "a TorchScript module cannot be followed"), (print, "needed is a torch.nn.Mod")):
        with pytest.raises(ModelError, match=message):
            eagleeye.trace(model, X)
