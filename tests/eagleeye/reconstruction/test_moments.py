"""Moments against the definition, in float64, over all images at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import EvaluationError
from eagleeye.reconstruction.consumers import Consumer, find_consumers
from eagleeye.reconstruction.moments import Moments, measure
from eagleeye.thin import build_thin
from tests.eagleeye import networks
from tests.eagleeye.network_parts import Head, conv_bn


def measured(network: nn.Module, batches: list[Tensor]) -> tuple[tuple[Consumer, ...], dict[str, list[Moments]]]:
    space = eagleeye.trace(network, batches[0][:1])
    full = build_thin(network, space, [np.ones(group.channels, dtype=bool) for group in space.groups])
    consumers, _ = find_consumers(space, full)
    moments = measure(full, consumers, batches)
    return consumers, {consumer.layer: found for consumer, found in zip(consumers, moments, strict=True)}


def inputs_of_layer(network: nn.Module, layer: str, batches: list[Tensor]) -> Tensor:
    seen: list[Tensor] = []
    module = network.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _module, args: seen.append(args[0].double()))
    with torch.no_grad():
        for batch in batches:
            network(batch)
    handle.remove()
    return torch.cat([x.movedim(1, -1).flatten(0, -2) if x.dim() > 2 else x for x in seen])


def test_all_positions_of_all_images_count_alike_whatever_the_batches() -> None:
    network = networks.lively(networks.Plain())
    images = torch.randn(11, 3, 12, 12) * 2 + 30
    consumers, found = measured(network, [images[:4], images[4:5], images[5:]])
    for consumer in consumers:
        rows = inputs_of_layer(network, consumer.layer, [images])
        (block,), (moments,) = consumer.blocks, found[consumer.layer]
        rows = rows[:, torch.from_numpy(block.places[:, 0])]
        assert consumer.centred
        assert torch.allclose(moments.mean[0], rows.mean(0), rtol=1e-5, atol=1e-6)
        assert torch.allclose(moments.second[0], torch.cov(rows.T, correction=0), rtol=1e-4, atol=1e-5)


def test_a_layer_whose_means_nothing_takes_over_is_measured_about_zero() -> None:
    network = nn.Sequential(conv_bn(3, 6), nn.Conv2d(6, 5, 1, bias=False), nn.ReLU(), Head(5))
    networks.lively(network)
    images = torch.randn(6, 3, 8, 8)
    consumers, found = measured(network, [images])
    consumer = next(one for one in consumers if one.layer == "1")
    rows = inputs_of_layer(network, "1", [images])
    assert not consumer.centred
    assert torch.allclose(found["1"][0].second[0], rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5)


def test_a_layer_called_twice_is_measured_over_both_calls() -> None:
    network = networks.lively(networks.Twice())
    images = torch.randn(5, 3, 12, 12)
    consumers, found = measured(network, [images])
    for consumer in consumers:
        rows = inputs_of_layer(network, consumer.layer, [images])[:, torch.from_numpy(consumer.blocks[0].places[:, 0])]
        assert torch.allclose(found[consumer.layer][0].mean[0], rows.mean(0), rtol=1e-4, atol=1e-5)


def test_behind_a_flattened_map_a_channel_has_all_its_pixels() -> None:
    network = networks.lively(networks.Flattened())
    images = torch.randn(9, 3, 12, 12)
    consumers, found = measured(network, [images])
    consumer = next(one for one in consumers if one.blocks[0].places.shape[1] > 1)
    rows = inputs_of_layer(network, consumer.layer, [images])[:, torch.from_numpy(consumer.blocks[0].places)]
    rows = rows.movedim(2, 1).flatten(0, 1)
    assert torch.allclose(found[consumer.layer][0].mean[0], rows.mean(0), rtol=1e-4, atol=1e-5)


def test_an_input_written_to_between_two_readers_is_two_inputs() -> None:
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b, self.head = conv_bn(3, 6), nn.Conv2d(6, 5, 1), nn.Conv2d(6, 5, 1), Head(5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.a(x)
            x.sub_(1.0)
            return self.head(torch.relu(y + self.b(x)))

    network = networks.lively(Written())
    _, found = measured(network, [torch.randn(4, 3, 8, 8)])
    assert torch.allclose(found["a"][0].mean - 1, found["b"][0].mean, atol=1e-5)


def test_no_images_and_values_that_are_not_finite_are_refused() -> None:
    network = networks.lively(networks.Plain())
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    with pytest.raises(EvaluationError, match="there are no calibration images"):
        eagleeye.reconstruct(network, space, [])
    with pytest.raises(EvaluationError, match=r"layer 'b\.0': it reads values that are not finite"):
        eagleeye.reconstruct(network, space, [torch.full((2, 3, 12, 12), torch.nan)])
