"""The ideas that were tried compute what they say: other regressions, criteria of the loss, a ridge by error."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from benchmarks.folded import without_norms
from benchmarks.regression import WAYS, refit
from benchmarks.ridges import RIDGES, by_error, with_ridge
from benchmarks.sensitivity import fisher, hessian
from benchmarks.subjects import IMAGENET, Subject
from eagleeye.data import open_source
from eagleeye.models import build
from eagleeye.prune import choose
from eagleeye.reconstruction import Reconstruction
from eagleeye.strategies import Budget, Shell, even_filled
from tests.eagleeye import networks
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.reconstruction.test_in_turn import best_weights, by_position, read, unfolded


def measured(count: int = 40) -> tuple[nn.Module, Reconstruction, Tensor]:
    torch.manual_seed(0)
    network = networks.lively(nn.Sequential(conv_bn(3, 8), conv_bn(8, 6), conv_bn(6, 8), Head(8))).double().eval()
    images = torch.randn(count, 3, 8, 8).double()
    space = eagleeye.trace(network, images[:1])
    return network, eagleeye.reconstruct(network, space, [images], ridge=1e-10), images


@pytest.mark.parametrize("way", ["patches", "sequential channels"])
def test_regressions_are_those_of_explicit_least_squares(way: str) -> None:
    network, found, images = measured()
    space, rates = found.space, [0.5] * len(found.space.groups)
    kept = space.kept(choose(network, space, space.widths_of(rates)))
    thin = eagleeye.prune(network, space, rates)
    refit(found, thin, kept, images, way)
    for consumer in found.consumers:
        layer, full = thin.get_submodule(consumer.layer), found.network.get_submodule(consumer.layer)
        axes = {axis.axis: kept[axis.ids] for axis in space.axes if axis.tensor == consumer.tensor}
        rows, x = axes.get(0, slice(None)), read(found.network, consumer.layer, images, own=False)
        if way == "patches":
            with torch.no_grad():
                y = by_position(full(x))[:, rows]
            wanted = best_weights(unfolded(full, x[:, axes[1]]), y, centred=True)
        else:
            shares = best_weights(
                by_position(read(thin, consumer.layer, images, own=True)), by_position(x), centred=True
            )
            weight = full.weight.detach().numpy()[rows]
            wanted = np.moveaxis(np.tensordot(weight, shares, (1, 0)), -1, 1).reshape(len(weight), -1)
        # Weights for channels that are always zero are free.
        live = unfolded(layer, x[:, axes[1]]).std(axis=0) > 0
        assert np.allclose(layer.weight.detach().flatten(1).numpy()[:, live], wanted[:, live], atol=1e-6)
    assert set(WAYS) > {"patches", "sequential channels"}


def gradients(network: nn.Module, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
    """Of the loss of each image alone."""
    found = []
    for image, label in zip(images, labels, strict=True):
        network.zero_grad()
        F.cross_entropy(network(image[None]), label[None]).backward()
        found.append({name: tensor.grad.clone() for name, tensor in network.named_parameters()})
    return found


def test_criteria_are_sums_over_the_gradients_of_single_images() -> None:
    network, found, images = measured(40)
    labels = torch.randint(0, 5, (len(images),), generator=torch.Generator().manual_seed(0))
    single = gradients(network, images, labels)
    readers = {"0.0": "1.0.weight", "1.0": "2.0.weight", "2.0": "3.linear.weight"}
    squared, curved = fisher(found, images, labels), hessian(network, found.space, images, labels)
    weights = dict(network.named_parameters())
    for group, one, other in zip(found.space.groups, squared, curved, strict=True):
        name, reader = group.name, readers[group.name]
        # Scaling what a layer reads of a channel is scaling its weights for it.
        products = torch.stack([(weights[reader] * each[reader]).transpose(0, 1).flatten(1).sum(1) for each in single])
        assert np.allclose(one, products.detach().square().mean(0).numpy(), rtol=1e-5)
        total = torch.zeros(len(one)).double()
        for tensor, axis in ((f"{name}.weight", 0), (f"{name[0]}.1.weight", 0), (reader, 1)):
            mean = torch.stack([each[tensor].square() for each in single]).mean(0)
            products = (weights[tensor].square() * mean).detach().movedim(axis, 0)
            total += products.reshape(len(products), -1).sum(1)
        assert np.allclose(other, total.numpy(), rtol=1e-6)


def test_the_ridge_is_that_of_the_least_error_on_other_images() -> None:
    network, found, _ = measured(8)
    space = found.space
    strategy = even_filled(Shell(space, Budget(macs=0.4), 1.0))
    held = eagleeye.reconstruct(network, space, [torch.randn(64, 3, 8, 8).double()])
    each, joint = by_error(found, held, strategy)
    subject = SimpleNamespace(network=network, space=space, reconstruction=found)
    errors: dict[str, list[float]] = {consumer.layer: [] for consumer in found.consumers}
    kept = space.kept(choose(network, space, strategy.widths, found.order))
    torch.manual_seed(0)
    for ridge in RIDGES:
        thin = with_ridge(subject, found, ridge, strategy)
        for consumer, (moments,) in zip(held.consumers, held.moments, strict=True):
            axes = {axis.axis: kept[axis.ids] for axis in space.axes if axis.tensor == consumer.tensor}
            full = network.get_parameter(consumer.tensor).detach()[axes.get(0, slice(None))]
            change = full.clone()
            change[:, axes[1]] -= thin.get_submodule(consumer.layer).weight.detach()
            flat, whole = (one.flatten(2) if one.dim() > 2 else one[..., None] for one in (change, full))
            costs = [
                sum(one[:, :, k] @ moments.second[0] @ one[:, :, k].T for k in range(one.shape[2]))
                for one in (flat, whole)
            ]
            errors[consumer.layer].append(float(costs[0].trace() / costs[1].trace()))
    assert each == {layer: RIDGES[int(np.argmin(row))] for layer, row in errors.items()}
    assert joint == RIDGES[int(np.argmin(np.mean(list(errors.values()), axis=0)))]
    mixed = with_ridge(subject, found, dict.fromkeys(each, RIDGES[0]) | {"1.0": RIDGES[-1]}, strategy)
    ends = [with_ridge(subject, found, RIDGES[place], strategy) for place in (0, -1)]
    assert torch.equal(mixed.get_submodule("1.0").weight, ends[1].get_submodule("1.0").weight)
    assert torch.equal(mixed.get_submodule("2.0").weight, ends[0].get_submodule("2.0").weight)


def test_on_the_same_images_the_least_ridge_errs_least_wherever_channels_are() -> None:
    torch.manual_seed(0)
    network = networks.lively(build("cifar_resnet20", num_classes=10)).eval()
    images = torch.randn(16, 3, 16, 16)
    space = eagleeye.trace(network, images[:1])
    found = eagleeye.reconstruct(network, space, [images])
    each, joint = by_error(found, found, even_filled(Shell(space, Budget(macs=0.3), 1.0)))
    assert (set(each.values()), joint) == ({RIDGES[0]}, RIDGES[0])


def test_folded_networks_compute_the_same_without_normalisation() -> None:
    network, _, images = measured()
    _, nothing = open_source("digits")
    folded = without_norms(Subject("noise", network, IMAGENET, nothing, ([], []), nothing)).network
    assert torch.allclose(folded(images), network(images))
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
