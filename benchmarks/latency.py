"""`python -m benchmarks.latency`: how fast networks with half of their MACs are, and how well that is predicted."""

from __future__ import annotations

import pandas as pd
import torch

import eagleeye
from eagleeye.latency.measure import compare_latency
from eagleeye.latency.profile import compare, profile
from eagleeye.models import build

NETWORKS = ("resnet18", "mobilenet_v2", "resnet50")
PREDICTED = 8


def main() -> None:
    """Measure and print both tables."""
    torch.manual_seed(0)
    for name in NETWORKS:
        network, example = build(name, num_classes=1000).eval(), torch.randn(1, 3, 224, 224)
        space = eagleeye.trace(network, example)
        print(f"\n{name}\n{halves(network, space, example).round(2).to_string(index=False)}", flush=True)
        errors = predictions(network, space, example)["error"]
        print(
            f"latency predicted with errors of {errors.abs().mean():.1%} on average, {errors.abs().max():.1%} at most"
        )


def halves(network: torch.nn.Module, space: eagleeye.Space, example: torch.Tensor) -> pd.DataFrame:
    """Time a network against itself at half of the MACs, with any channel numbers and with multiples of 8."""
    models = {"full": network}
    for multiple in (1, 8):
        budget = eagleeye.Budget(macs=0.5, tolerance=0.01)
        (strategy,) = eagleeye.sample(space, budget, count=1, max_rate=0.7, seed=0, multiple=multiple)
        models[f"half, multiples of {multiple}"] = eagleeye.prune(network, space, strategy)
    return compare_latency(models, example, batch_sizes=(1, 8), repeats=15)[
        ["model", "batch_size", "median_ms", "speedup"]
    ]


def predictions(network: torch.nn.Module, space: eagleeye.Space, example: torch.Tensor) -> pd.DataFrame:
    """Predicted and measured latency of thin networks."""
    strategies = eagleeye.sample(space, eagleeye.Budget(macs=0.5, tolerance=0.2), count=PREDICTED, max_rate=0.7, seed=1)
    return compare(profile(network, space, example), network, space, example, strategies)


if __name__ == "__main__":
    main()
