"""Loops of a user's own that settings of the tests name."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

EPOCHS = 3
Told = Callable[[Mapping[str, float]], None]


def halve_the_bias(network: nn.Module, folder: Path, told: Told) -> nn.Module:
    """Three epochs, each of which halves the last layer's bias; goes on where it was killed."""
    assert network.training
    state = folder / "last.pt"
    if state.exists():
        network.load_state_dict(torch.load(state))
    bias = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1].bias
    for epoch in range(len(list(folder.glob("done-*"))), EPOCHS):
        with torch.no_grad():
            bias.mul_(0.5)
        torch.save(network.state_dict(), state)
        (folder / f"done-{epoch}").touch()
        told({"train_loss": 1 / (epoch + 1), "mAP@50 (B)": 0.1 * epoch})
    return network


def silent(network: nn.Module, _folder: Path, _told: Told) -> nn.Module:
    """Nothing is trained, nothing told."""
    return network


def returns_nothing(_network: nn.Module, _folder: Path, _told: Told) -> None:
    """Forgets to return the network."""


def fails(_network: nn.Module, _folder: Path, _told: Told) -> nn.Module:
    """Stops."""
    raise RuntimeError("no\nimages")


def tells_a_taken_name(network: nn.Module, _folder: Path, told: Told) -> nn.Module:
    """Tells what the pipeline measures itself."""
    told({"validation_accuracy": 1.0})
    return network


def of_two(network: nn.Module, _folder: Path) -> nn.Module:
    """Takes no function to tell."""
    return network
