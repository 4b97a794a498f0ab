"""Handwritten digits, and a network that was trained on them."""

import functools

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

TRAINING = 1437
MEAN, STD = 0.3, 0.4


@functools.lru_cache
def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 pictures as bytes (n, 1, 8, 8), and their labels; the first `TRAINING` are for training."""
    found = load_digits()
    pixels = torch.from_numpy((found.images * (255 / 16)).round()).to(torch.uint8)[:, None]
    return pixels, torch.from_numpy(found.target).long()


def inputs(pixels: Tensor) -> Tensor:
    return (pixels / 255 - MEAN) / STD


@functools.lru_cache
def trained() -> nn.Module:
    def layers(before: int, filters: int) -> list[nn.Module]:
        return [nn.Conv2d(before, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]

    pixels, labels = digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            *layers(1, 12),
            *layers(12, 16),
            nn.MaxPool2d(2),
            *[layer for before in (16, 24) for layer in layers(before, 24)],
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(24, 10),
        )
        optimiser, x = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9), inputs(pixels)
        for _ in range(4):
            for rows in torch.randperm(TRAINING).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(x[rows]), labels[rows]).backward()
                optimiser.step()
    return network.eval()


def accuracy(network: nn.Module, x: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((network(x).argmax(1) == labels).double().mean())
