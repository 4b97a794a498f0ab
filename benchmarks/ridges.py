"""The ridge of refitting by the error on images that weights are not fitted to, for `python -m benchmarks.ideas`."""

from __future__ import annotations

import operator

import numpy as np
import torch
from torch import Tensor, fx

import eagleeye
from benchmarks.subjects import Subject
from eagleeye.channels.steps import Kept
from eagleeye.prune import choose, order_of
from eagleeye.reconstruction import Reconstruction
from eagleeye.reconstruction.consumers import Consumer
from eagleeye.reconstruction.moments import Moments
from eagleeye.strategies import Strategy

RIDGES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)


def by_error(fitted: Reconstruction, held: Reconstruction, strategy: Strategy) -> tuple[dict[str, float], float]:
    """The ridge with the least error on other images: of each layer, and in the mean of all layers.

    Args:
        fitted: Measured on the images that weights are fitted to.
        held: Measured on others.
        strategy: The candidate.
    """
    kept = fitted.space.kept(choose(fitted.network, fitted.space, strategy.widths, fitted.order))
    errors: dict[str, list[float]] = {consumer.layer: [] for consumer in fitted.consumers}
    for one in RIDGES:
        tensors = with_damping(fitted, one).refit(order_of(fitted.network, fitted.space, fitted.order)).tensors(kept)
        for consumer, (moments,) in zip(held.consumers, held.moments, strict=True):
            errors[consumer.layer].append(_error(held, consumer, moments, tensors.get(consumer.weight), kept))
    table = np.array(list(errors.values()))
    best = {layer: RIDGES[int(np.argmin(row))] for layer, row in errors.items()}
    return best, RIDGES[int(np.argmin(table.mean(axis=0)))]


def _error(held: Reconstruction, consumer: Consumer, moments: Moments, weight: Tensor | None, kept: Kept) -> float:
    """A refitted layer's squared error relative to its output's energy."""
    full = operator.attrgetter(consumer.weight)(held.network).detach().double()
    if weight is None:
        return 0.0
    axes = {axis.axis: axis.ids for axis in held.space.axes if axis.tensor == consumer.tensor}
    full = full if 0 not in axes else full[torch.from_numpy(kept[axes[0]])]
    change = full.clone()
    change[:, torch.from_numpy(kept[axes[1]])] -= weight.double()
    # Moments are in the order of the channels' ids.
    places = torch.from_numpy(consumer.blocks[0].places[:, 0])
    squares = [
        torch.einsum("oc...,cd,od...->", one, moments.second[0], one) for one in (change[:, places], full[:, places])
    ]
    return float(squares[0] / squares[1])


def with_damping(found: Reconstruction, ridge: float) -> Reconstruction:
    """The same measurement with another ridge."""
    return Reconstruction(found.space, found.network, found.consumers, found.not_refitted, found.moments, ridge)


def with_ridge(
    subject: Subject, found: Reconstruction, ridge: float | dict[str, float], strategy: Strategy
) -> fx.GraphModule:
    """A candidate refitted with one ridge, or with one for each layer."""
    order = subject.reconstruction.order
    thin = eagleeye.prune(subject.network, subject.space, strategy, criterion=order)
    kept = subject.space.kept(choose(subject.network, subject.space, strategy.widths, order))
    for one in {ridge} if isinstance(ridge, float) else set(ridge.values()):
        tensors = with_damping(found, one).refit(order_of(subject.network, subject.space, order)).tensors(kept)
        for name, tensor in tensors.items():
            if isinstance(ridge, float) or ridge[name.rpartition(".")[0]] == one:
                operator.attrgetter(name)(thin).data = tensor
    return thin
