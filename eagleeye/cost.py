"""Count what a network costs by running it."""

from __future__ import annotations

import torch
from torch import nn

from eagleeye.channels.macs import multiplications
from eagleeye.channels.space import Cost
from eagleeye.forward.inputs import Inputs, bind
from eagleeye.forward.modes import evaluating


def cost(model: nn.Module, example_input: Inputs) -> Cost:
    """MACs and parameters of any network.

    MACs are multiply-accumulates of convolutions, linear layers and other products of matrices, without biases, for one
    input, by torch's own counter; tools that count operations report twice as many. A convolution of c inputs and k
    outputs in g groups has k · c / g · (elements of its kernel) · (positions of its output) of them.

    Args:
        model: The network; left as it was.
        example_input: What the network takes, as in `trace`, images along the first axis of every tensor.

    Returns:
        MACs for one of the N inputs, and the number of trainable parameters.

    Example:
        >>> eagleeye.cost(network, torch.zeros(1, 3, 32, 32))
        Cost(macs=40551040, params=269722)
    """
    one = bind(model, example_input).mapped(lambda tensor: tensor[:1] if tensor.dim() else tensor)
    with evaluating(model), torch.no_grad():
        macs = multiplications(lambda: one.on(model))
    return Cost(macs, sum(parameter.numel() for parameter in model.parameters()))
