"""Count what a network costs by running it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from eagleeye.channels.macs import multiplications
from eagleeye.channels.space import Cost
from eagleeye.modes import evaluating


def cost(model: nn.Module, example_input: Tensor) -> Cost:
    """MACs and parameters of any network.

    MACs are multiply-accumulates of convolutions, linear layers and other products of matrices, without biases, for one
    input, by torch's own counter; tools that count operations report twice as many.

    Args:
        model: The network; left as it was.
        example_input: Float tensor (N, C, H, W).

    Returns:
        MACs for one of the N inputs, and the number of trainable parameters.
    """
    with evaluating(model), torch.no_grad():
        macs = multiplications(lambda: model(example_input[:1]))
    return Cost(macs, sum(parameter.numel() for parameter in model.parameters()))
