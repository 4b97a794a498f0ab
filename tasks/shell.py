"""The budget that the settings describe, as the set of rate vectors that meet it."""

from torch import nn

from eagleeye.channels import Space
from eagleeye.latency_profile import profile
from eagleeye.strategies import Budget, Shell
from tasks.artifacts import LATENCY
from tasks.images import choose_device
from tasks.params import Params
from tasks.space import example_input


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
    """Candidates of each generation: as even as possible, the first ones larger by one."""
    whole, left = divmod(params.strategies.count, params.strategies.generations)
    return [whole + (number < left) for number in range(params.strategies.generations)]
