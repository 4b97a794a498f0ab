"""The network's search space, traced at the size of the data's images, and the part of it that meets the budget."""

import torch
from torch import nn

from eagleeye.channels import Cost, Space, trace
from eagleeye.channels.core import core_inputs, core_of
from eagleeye.cost import cost
from eagleeye.data import Batches, decode
from eagleeye.forward.inputs import Inputs
from eagleeye.latency.profile import profile
from eagleeye.strategies import Budget, Shell
from tasks.artifacts import LATENCY, SUB_VALIDATION
from tasks.inputs.images import choose_device, open_subset, preprocess
from tasks.params import Params


def example_input(params: Params) -> torch.Tensor:
    """One normalised image, float32 (1, channels, h, w): the shape that the network is traced and counted with."""
    image = decode(open_subset(SUB_VALIDATION), [0], preprocess(params))
    return next(iter(Batches(image, preprocess(params), batch_size=1, device="cpu", labelled=False)))


def trace_network(params: Params, network: nn.Module) -> Space:
    """The groups of channels of the network, or of its core, without the excluded layers.

    Raises:
        TraceError: The graph cannot be followed.
        ModelError: There is no such core, or a forward pass does not call it exactly once.
    """
    return trace(network, example_input(params), exclude=params.strategies.exclude, core=params.model.pruned)


def core_and_inputs(params: Params, network: nn.Module) -> tuple[nn.Module, Inputs]:
    """What is pruned, costed and exported, with what reaches it of one image: the core, or the network itself.

    Args:
        params: The settings.
        network: The whole network, full or pruned.

    Returns:
        The core, and what it takes, on the network's device.
    """
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    name = params.model.pruned
    return core_of(network, name), core_inputs(network, name, example_input(params).to(device))


def cost_of(params: Params, network: nn.Module) -> Cost:
    """What a network costs, or its core where that is what is pruned.

    Args:
        params: The settings.
        network: The whole network, full or pruned.
    """
    return cost(*core_and_inputs(params, network))


def open_shell(params: Params, network: nn.Module, space: Space) -> Shell:
    """The rate vectors that meet the budget; latencies are measured where it limits them and they are not on record.

    Args:
        params: The settings.
        network: The full network; its weights do not matter.
        space: Its search space.

    Raises:
        ConfigError: A setting is out of range.
    """
    wanted = params.strategies
    limits = wanted.budget
    budget = Budget(limits.macs, limits.params, limits.latency, limits.tolerance)
    latency = None
    if limits.latency is not None:
        example = example_input(params).repeat(wanted.latency_batch_size, 1, 1, 1)
        device = choose_device(params.evaluate.device)
        latency = profile(network.eval().to(device), space, example, path=LATENCY).predict
    return Shell(space, budget, wanted.max_rate, wanted.multiple, latency)


def generation_sizes(params: Params) -> list[int]:
    """Candidates of each generation: as even as possible, the first ones larger by one, none empty."""
    count = params.strategies.count
    generations = min(params.strategies.generations, count)
    whole, left = divmod(count, generations)
    return [whole + (number < left) for number in range(generations)]
