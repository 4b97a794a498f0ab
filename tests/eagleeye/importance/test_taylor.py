"""The Taylor criterion against differences of the loss, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.importance import criterion
from tests.eagleeye.networks import lively


class Tiny(nn.Module):
    """Smooth, with tied, depthwise and transposed convolutions, dropout and batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.depth = nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Conv2d(3, 6, 1, groups=3)
        self.b, self.up, self.drop = nn.Conv2d(6, 3, 1), nn.ConvTranspose2d(3, 4, 2), nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.a(x))
        x = x + self.b(F.silu(self.depth(x)))
        return self.head(self.drop(F.silu(self.up(x)).mean((2, 3))))


LAYOUT = {"a": [("a", 1), ("b", 1), ("depth", 2)], "up": [("up", 1)]}
"""Per group its convolutions, and how many filters of each make a channel."""


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return lively(Tiny()).double()


@pytest.fixture
def space(network: nn.Module) -> eagleeye.Space:
    return eagleeye.trace(network, torch.randn(1, 2, 4, 4).double())


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, 2, 4, 4, generator=generator).double(), torch.tensor([0, 1, 2, 0, 1, 2, 2])


def slopes(network: nn.Module, tensor: nn.Parameter, images: tuple[Tensor, Tensor]) -> Tensor:
    """Central differences of the mean loss by each element."""
    found, flat = torch.zeros_like(tensor).flatten(), tensor.data.view(-1)
    with torch.no_grad():
        for number, value in enumerate(flat.tolist()):
            losses = []
            for step in (1e-5, -1e-5):
                flat[number] = value + step
                losses.append(float(F.cross_entropy(network(images[0]), images[1])))
            flat[number] = value
            found[number] = (losses[0] - losses[1]) / 2e-5
    return found.view_as(tensor)


def test_scores_are_weights_times_differences_of_the_loss(
    network: nn.Module, space: eagleeye.Space, images: tuple[Tensor, Tensor]
) -> None:
    found = criterion("taylor", batches=[images])(network, space)
    assert {group.name: set(group.members) for group in space.groups} == {
        name: {layer for layer, _ in layers} for name, layers in LAYOUT.items()
    }
    for scores, layers in zip(found, LAYOUT.values(), strict=True):
        expected = np.zeros(len(scores))
        for layer, filters in layers:
            weight = network.get_parameter(f"{layer}.weight")
            parts = (weight * slopes(network, weight, images)).detach().abs()
            parts = parts.transpose(0, 1) if layer == "up" else parts
            for channel in range(len(scores)):
                expected[channel] += float(parts[channel * filters : (channel + 1) * filters].sum())
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


@pytest.mark.parametrize("sizes", [[7], [3, 3, 1], [1] * 7])
def test_the_division_into_batches_does_not_matter(
    network: nn.Module, space: eagleeye.Space, images: tuple[Tensor, Tensor], sizes: list[int]
) -> None:
    batches = list(zip(images[0].split(sizes), images[1].split(sizes), strict=True))
    for found, expected in zip(
        criterion("taylor", batches=batches)(network, space),
        criterion("taylor", batches=[images])(network, space),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_scores_depend_on_neither_mode_nor_frozen_weights_nor_the_random_state(
    network: nn.Module, space: eagleeye.Space, images: tuple[Tensor, Tensor]
) -> None:
    ask = criterion("taylor", batches=[images])
    expected = ask(network, space)
    torch.manual_seed(99)
    network.train().requires_grad_(False)
    with torch.no_grad():
        found = ask(network, space)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_network_is_left_as_it_was(
    network: nn.Module, space: eagleeye.Space, images: tuple[Tensor, Tensor]
) -> None:
    network.train()
    network.norm.eval()
    network.a.weight.requires_grad_(False)
    network.b.weight.grad = torch.ones_like(network.b.weight)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = dict(network.named_parameters())
    criterion("taylor", batches=[images])(network, space)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(tensor is tensors[name] for name, tensor in network.named_parameters())
    assert (network.training, network.norm.training, network.drop.training) == (True, False, True)
    assert not network.a.weight.requires_grad
    assert torch.equal(network.b.weight.grad, torch.ones_like(network.b.weight))
    assert network.head.weight.grad is None


class Twins(nn.Module):
    """One weight under two names, and a branch that no output needs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.two.weight, self.idle, self.head = self.one.weight, nn.Conv2d(4, 3, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(F.silu(self.one(F.silu(self.stem(x)))))
        return self.head(F.silu(x).mean((2, 3)) + 0 * self.idle(x).sum())


def test_a_weight_of_two_names_has_the_gradient_of_both_uses(images: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    network = Twins().double()
    space = eagleeye.trace(network, images[0][:1])
    network.stem.weight.requires_grad_(False)
    for group, scores in zip(
        space.groups, criterion("taylor", aggregate="first", batches=[images])(network, space), strict=True
    ):
        weight = network.get_submodule(group.name).weight
        expected = (weight * slopes(network, weight, images)).detach().abs().sum(dim=(1, 2, 3))
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-15)


def test_without_batches_the_way_out_is_named() -> None:
    for name in ("taylor", "obs"):
        with pytest.raises(ConfigError, match=rf"^criterion {name}: .*give `batches`$"):
            criterion(name)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "criterion taylor: there are no images"),
        ([(torch.randn(2, 2, 4, 4).double(), torch.tensor([0, 3]))], "labels: class 3 occurs"),
        ([(torch.full((2, 2, 4, 4), float("nan")).double(), torch.tensor([0, 1]))], "network output: it holds NaN"),
    ],
)
def test_unusable_batches_are_one_line(
    network: nn.Module, space: eagleeye.Space, batches: list[tuple[Tensor, Tensor]], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        criterion("taylor", batches=batches)(network, space)
