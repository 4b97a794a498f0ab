"""Criteria that ask the labelled loss, for `python -m benchmarks.ideas`; one image's gradient at a time."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call, grad, vmap

from eagleeye.channels.space import Space
from eagleeye.importance.ranked import Importance, channel_rows
from eagleeye.reconstruction import Reconstruction

AT_A_TIME = 32
"""Images whose gradients are in memory at a time."""


class _Masked(fx.Interpreter):
    """Runs a network with a factor on each channel that layers read: its gradient is that of removing the channel."""

    def __init__(self, found: Reconstruction, factors: Tensor) -> None:
        super().__init__(found.network)
        axes = {axis.tensor: axis.ids for axis in found.space.axes if axis.role == "in"}
        self.ids = {consumer.layer: torch.from_numpy(axes[consumer.tensor]) for consumer in found.consumers}
        # Channels that always stay have the id -1: the last factor is one.
        self.factors = torch.cat([factors, factors.new_ones(len(factors), 1)], dim=1)

    def run_node(self, n: fx.Node) -> Any:
        """Run a node; layers read their inputs times the factors."""
        ids = self.ids.get(str(n.target)) if n.op == "call_module" else None
        if ids is None:
            return super().run_node(n)
        x: Tensor = self.env[n.all_input_nodes[0]]
        layer: Any = self.module.get_submodule(str(n.target))
        return layer(x * self.factors[:, ids].reshape(*x.shape[:2], *[1] * (x.dim() - 2)))


def fisher(found: Reconstruction, inputs: Tensor, labels: Tensor) -> list[Importance]:
    """Squared gradients of activations (Theis et al., 2018; of coupled layers, Liu et al., ICML 2021).

    Args:
        found: The trained network and the layers that read channels; features are channels.
        inputs: Normalised images (n, C, H, W).
        labels: Their labels.

    Returns:
        Per group, each channel's mean over the images of (the sum of activation times gradient over all positions of
        all layers that read it), squared.
    """
    total = torch.zeros(found.space.id_count, dtype=torch.float64)
    for images, wanted in zip(inputs.split(AT_A_TIME), labels.split(AT_A_TIME), strict=True):
        factors = images.new_ones(len(images), found.space.id_count).requires_grad_()
        loss = F.cross_entropy(_Masked(found, factors).run(images), wanted, reduction="sum")
        total += torch.autograd.grad(loss, factors)[0].square().sum(0)
    mean = (total / len(inputs)).numpy()
    return [mean[ids] for ids in found.space.ids]


def hessian(model: nn.Module, space: Space, inputs: Tensor, labels: Tensor) -> list[Importance]:
    """Weights squared times squared gradients, all that goes with a channel (GroupHessianImportance of Torch-Pruning).

    Args:
        model: The trained network in evaluation mode.
        space: Its search space.
        inputs: Normalised images (n, C, H, W).
        labels: Their labels.

    Returns:
        Per group, each channel's sum over the weights of its filters, of the layers that read it and of its
        normalisations: the weight squared times the mean of one image's squared gradient.
    """
    axes = [axis for axis in space.axes if axis.tensor.endswith(".weight")]
    weights = {axis.tensor: operator.attrgetter(axis.tensor)(model).detach() for axis in axes}

    def loss(own: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, own, (image[None],)), label[None])

    curvature = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    for images, wanted in zip(inputs.split(AT_A_TIME), labels.split(AT_A_TIME), strict=True):
        for name, gradients in vmap(grad(loss), in_dims=(None, 0, 0))(weights, images, wanted).items():
            curvature[name] += gradients.double().square().sum(0) / len(inputs)
    rows = channel_rows(space, axes, lambda name: weights[name].double().square() * curvature[name])
    return [sum(part.sum(axis=1) for part in parts) for parts in rows]
