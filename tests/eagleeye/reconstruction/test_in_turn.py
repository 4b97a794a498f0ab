"""Networks refitted layer after layer: explicit least squares in float64, and what holds for every network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.prune import choose
from eagleeye.reconstruction import in_turn
from tests.eagleeye import networks
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.reconstruction.test_refit import KINDS, prepared

Matrix = npt.NDArray[np.float64]


class Settings(nn.Sequential):
    """Strides, dilation, groups, a bias, unequal paddings, and layers without batch normalisation behind them."""

    def __init__(self) -> None:
        super().__init__(
            conv_bn(3, 8),
            nn.Conv2d(8, 12, 3, stride=2, padding=1),
            nn.Hardtanh(),
            nn.Conv2d(12, 12, 3, padding=2, dilation=2, groups=2, bias=False),
            nn.BatchNorm2d(12),
            nn.Hardtanh(),
            nn.Conv2d(12, 6, (1, 3), padding="same", padding_mode="reflect", bias=False),
            nn.Hardtanh(),
            Head(6),
        )


def read(network: nn.Module, layer: str, images: Tensor, *, own: bool) -> Tensor:
    """What a layer reads; with `own`, BN layers normalise by what they read themselves."""
    seen: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    for module in network.modules():
        module.training = own and isinstance(module, nn.BatchNorm2d)
    with torch.no_grad():
        network(images)
    handle.remove()
    return torch.cat(seen)


def unfolded(layer: nn.Module, x: Tensor) -> Matrix:
    """Patches, shape (positions, inputs of all groups)."""
    if isinstance(layer, nn.Linear):
        return x.numpy()
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    around = [side for size in reversed(sides(layer)) for side in (size, size)]
    return by_position(F.unfold(F.pad(x, around, mode=mode), layer.kernel_size, layer.dilation, 0, layer.stride))


def sides(layer: nn.Conv2d) -> list[int]:
    return [size // 2 for size in layer.kernel_size] if layer.padding == "same" else list(layer.padding)


def by_position(y: Tensor) -> Matrix:
    return y.movedim(1, -1).flatten(0, -2).numpy()


def best_weights(x: Matrix, y: Matrix, *, centred: bool) -> Matrix:
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.lstsq(x, y, rcond=None)[0].T


@pytest.mark.parametrize("kind", [Settings, networks.Residual], ids=lambda kind: kind.__name__)
def test_weights_are_those_of_least_squares_on_what_layers_read(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = networks.lively(kind()).double()
    images = torch.randn(96, 3, 12, 12).double()
    space = eagleeye.trace(network, images[:1])
    found = eagleeye.reconstruct(network, space, [images], ridge=1e-10)
    rates = [0.5] * len(space.groups)
    kept = space.kept(choose(network, space, space.widths_of(rates)))
    thin = eagleeye.prune(network, space, rates, refit=found, in_turn=images)
    for consumer in found.consumers:
        layer, full = thin.get_submodule(consumer.layer), found.network.get_submodule(consumer.layer)
        x = unfolded(layer, read(thin, consumer.layer, images, own=True))
        with torch.no_grad():
            y = by_position(full(read(found.network, consumer.layer, images, own=False)))
        rows = next((axis.ids for axis in space.axes if (axis.tensor, axis.axis) == (consumer.tensor, 0)), None)
        y = y if rows is None else y[:, kept[rows]]
        weights = layer.weight.detach().flatten(1).numpy()
        parts = [np.split(one, consumer.groups, axis) for one, axis in ((x, 1), (y, 1), (weights, 0))]
        for inputs, outputs, weight in zip(*parts, strict=True):
            assert len(inputs) > in_turn.POSITIONS * inputs.shape[1]
            assert np.allclose(weight, best_weights(inputs, outputs, centred=consumer.centred), atol=1e-5), layer
            if layer.bias is not None:
                left = (outputs - inputs @ weight.T).mean(0)
                assert np.allclose(layer.bias.detach().numpy(), left, atol=1e-8)
    assert len(found.consumers) > 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_network_keeps_its_shape_and_statistics(kind: Callable[[], nn.Module]) -> None:
    network, space, (inputs,) = prepared(kind)
    found = eagleeye.reconstruct(network, space, [inputs])
    rates = [0.4] * len(space.groups)
    once = eagleeye.prune(network, space, rates, refit=found)
    thin = eagleeye.prune(network, space, rates, refit=found, in_turn=inputs)
    for (name, tensor), (other, before) in zip(thin.named_parameters(), once.named_parameters(), strict=True):
        assert (name, tensor.shape, tensor.requires_grad) == (other, before.shape, before.requires_grad)
        assert torch.isfinite(tensor).all()
    for (name, tensor), before in zip(thin.named_buffers(), once.buffers(), strict=True):
        assert torch.equal(tensor, before), name
    assert [module.training for module in thin.modules()] == [module.training for module in once.modules()]
    again = eagleeye.prune(network, space, rates, refit=found, in_turn=inputs)
    assert all(torch.equal(one, two) for one, two in zip(thin.parameters(), again.parameters(), strict=True))


def test_nothing_changes_where_nothing_is_removed() -> None:
    network, space, (inputs,) = prepared(networks.Residual)
    found = eagleeye.reconstruct(network, space, [inputs])
    thin = eagleeye.prune(network, space, [0.0] * len(space.groups), refit=found, in_turn=inputs).state_dict()
    assert all(torch.equal(tensor, thin[name]) for name, tensor in network.state_dict().items())


def test_layers_with_too_few_positions_keep_their_first_refitting() -> None:
    torch.manual_seed(0)
    network = networks.lively(nn.Sequential(conv_bn(3, 8), conv_bn(8, 8), Head(8))).eval()
    space = eagleeye.trace(network, torch.zeros(1, 3, 6, 6))
    images = torch.randn(64, 3, 6, 6)
    found = eagleeye.reconstruct(network, space, [images])
    rates = [0.5] * len(space.groups)
    once = eagleeye.prune(network, space, rates, refit=found)
    # Two inputs of 4 channels: 36 for 72 positions and 4 for 2 images.
    few = eagleeye.prune(network, space, rates, refit=found, in_turn=images[:2])
    enough = eagleeye.prune(network, space, rates, refit=found, in_turn=images[:16])
    for name in ("1.0", "2.linear"):
        assert torch.equal(few.get_submodule(name).weight, once.get_submodule(name).weight)
        assert not torch.equal(enough.get_submodule(name).weight, once.get_submodule(name).weight)


def test_it_needs_what_was_measured_and_images_that_fit() -> None:
    network, space, (inputs,) = prepared(networks.Residual)
    rates = [0.5] * len(space.groups)
    with pytest.raises(ConfigError, match="in_turn: it needs what was measured"):
        eagleeye.prune(network, space, rates, in_turn=inputs)
    found = eagleeye.reconstruct(network, space, [inputs])
    with pytest.raises(EvaluationError, match="it cannot run on a batch of"):
        eagleeye.prune(network, space, rates, refit=found, in_turn=torch.zeros(2, 1, 8, 8).double())
    with pytest.raises(EvaluationError, match=r"layer '.*': refitted in turn its weights are not finite"):
        eagleeye.prune(network, space, rates, refit=found, in_turn=inputs[0] * torch.inf)
