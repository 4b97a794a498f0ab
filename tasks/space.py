"""The network's search space, traced at the size of the data's images."""

import torch
from torch import nn

from eagleeye.channels import Space, trace
from eagleeye.data import Batches, decode
from tasks.artifacts import SUB_VALIDATION
from tasks.images import open_subset, preprocess
from tasks.params import Params


def example_input(params: Params) -> torch.Tensor:
    """One normalised image, float32 (1, channels, h, w): the shape that the network is traced and counted with."""
    image = decode(open_subset(SUB_VALIDATION), [0], preprocess(params))
    return next(iter(Batches(image, preprocess(params), batch_size=1, device="cpu", labelled=False)))


def trace_network(params: Params, network: nn.Module) -> Space:
    """The network's groups of channels, without the excluded layers.

    Raises:
        TraceError: The network's graph cannot be followed.
    """
    return trace(network, example_input(params), exclude=params.strategies.exclude)
