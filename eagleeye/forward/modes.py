"""Evaluation mode for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into evaluation mode, and every module back into its own mode afterwards.

    Args:
        model: Any network; modules may differ in mode (frozen batch norm in a network in training).

    Yields:
        The same network.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training
