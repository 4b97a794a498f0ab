"""Count what a network costs by running it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from eagleeye.channels.space import Cost
from eagleeye.modes import evaluating

Conv = nn.modules.conv._ConvNd


def cost(model: nn.Module, example_input: Tensor) -> Cost:
    """MACs and parameters of any network.

    MACs are multiply-accumulates of convolutions and linear layers, without biases, for one input; tools that count
    operations report twice as many.

    Args:
        model: The network; left as it was.
        example_input: Float tensor (N, C, H, W).

    Returns:
        MACs for one of the N inputs, and the number of trainable parameters.
    """
    counted: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        if isinstance(layer, nn.Linear):
            positions = output[0, ..., 0].numel()
        else:
            positions = (inputs[0] if getattr(layer, "transposed", False) else output)[0, 0].numel()
        counted.append(positions * weight.numel())

    layers = [module for module in model.modules() if isinstance(module, (Conv, nn.Linear))]
    hooks: list[RemovableHandle] = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(model), torch.no_grad():
            model(example_input)
    finally:
        for hook in hooks:
            hook.remove()
    return Cost(sum(counted), sum(parameter.numel() for parameter in model.parameters()))
