"""Adaptive batch normalisation (method, step 3): statistics that belong to the pruned network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice, repeat
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from eagleeye.errors import ConfigError, EvaluationError
from eagleeye.forward.inputs import Inputs
from eagleeye.forward.modes import evaluating
from eagleeye.forward.running import images_in, run
from eagleeye.given import streamed
from eagleeye.scoring.bn_average import LayerAverage, calls_per_pass, told_of_calls
from eagleeye.torch_layers import BatchNorm

PAPER_MOMENTUM = 0.1
PAPER_ITERATIONS = 100


def adapt_batch_norm(
    model: nn.Module,
    batches: Iterable[Inputs] | Dataset[Any],
    *,
    mode: str = "reset",
    iterations: int | None = None,
    seen: int = 0,
) -> None:
    """Re-estimate the statistics of every batch-normalisation layer; all parameters stay frozen.

    Only these layers run in training mode, so dropout and the like stay off. A layer that a forward pass calls several
    times averages over all its calls; one that is never called keeps what it has.

    With `mode="reset"` the outdated statistics are dropped, and the new ones are averages over the calls b, each
    weighted by its images N_b::

        mean = Σ N_b m_b / Σ N_b        variance = Σ N_b s²_b / Σ N_b

    m_b and s²_b are the mean and the sample variance (divisor n_b - 1) of the n_b values that a channel has in a call.
    This is a variance *within* batches. For calls of n values each it is exactly n / (n - 1) · (σ² - v), where σ² is
    the variance of all values together and v that of the batch means. Values that are independent have v = σ² / n on
    average, and the estimate has no bias. Values of one image are alike, so that v is about τ² / N for N images per
    batch whose own means have the variance τ², and the estimate is too small by that: the larger the batches, the
    less. Networks were trained with variances within batches, too. `update_bn_stats` in fvcore (precise BN, "the true
    average of per-batch mean/variance"; Wu and Johnson, arXiv:2105.07576, section 3) is the same estimator, but for
    batches that count alike whatever their size and layers of which the last call counts alone.

    With `mode="paper"` statistics x become 0.9 x + 0.1 x_b batch by batch, starting from the outdated ones (Li et al.,
    ECCV 2020): of them 0.9^100, a share of 0.00003, is left after the published 100 iterations.

    Args:
        model: The pruned network; its running means and variances change, nothing else.
        batches: Normalised float tensors (n, C, H, W) without labels, or whatever else the network takes, as in
            `eagleeye.forward.inputs`; or a DataLoader, a map-style data set or a tensor of images, whose labels,
            if any, are left aside. `paper` needs it to be iterable repeatedly.
        mode: `reset` or `paper`.
        iterations: Batches to use, starting over when they run out; `None` means all of them once (`reset`) or
            100 iterations (`paper`).
        seen: Images that the present statistics are the average of, to go on from them (`reset` only); 0 drops them.
            Every batch must then call each layer equally often.

    Raises:
        ConfigError: Unknown mode, or `seen` in another mode than `reset`.
        EvaluationError: The network has no such layer or calls none, there are no usable batches, or after `seen`
            images a layer is called more or less often. Statistics are then as before.

    Example:
        >>> thin = eagleeye.prune(network, space, [0.5] * len(space.groups))
        >>> eagleeye.adapt_batch_norm(thin, [torch.rand(8, 3, 32, 32) for _ in range(2)])
    """
    if mode not in ("reset", "paper"):
        raise ConfigError(f"mode: '{mode}' is unknown; allowed are 'reset' and 'paper'")
    if seen and mode != "reset":
        raise ConfigError(f"seen: mode '{mode}' cannot go on after {seen} images; only 'reset' averages over images")
    layers = batch_norm_layers(model)
    if not layers:
        raise EvaluationError(
            f"network {type(model).__name__}: it has no batch-normalisation layer with running statistics, so adaptive"
            " batch normalisation has nothing to adapt; score it as it is (vanilla)"
        )
    wanted = PAPER_ITERATIONS if mode == "paper" and iterations is None else iterations
    batches = streamed(batches, model, labelled=False)
    cycled = batches if wanted is None else islice(chain.from_iterable(repeat(batches)), wanted)
    with torch.no_grad(), _only_these_train(model, layers):
        _run(model, layers, cycled, mode, seen)


def exact(layer: BatchNorm) -> None:
    """Bring a layer of 16 bits to float32: it takes and gives 16 bits, but averages are not rounded every time."""
    if layer.running_mean is not None and layer.running_mean.dtype in (torch.float16, torch.bfloat16):
        layer.float()


def batch_norm_layers(model: nn.Module) -> list[BatchNorm]:
    """The layers that adaptive batch normalisation adapts: those that keep running statistics."""
    return [m for m in model.modules() if isinstance(m, BatchNorm) and m.running_mean is not None]


def _run(model: nn.Module, layers: list[BatchNorm], batches: Iterable[Inputs], mode: str, seen: int) -> None:
    pending = iter(batches)
    first = next(pending, None)
    if first is None:
        raise EvaluationError("calibration: there are no images; give at least one batch")
    calls = calls_per_pass(model, layers, first) if seen else [0] * len(layers)
    momentum = PAPER_MOMENTUM if mode == "paper" else None
    averages = [LayerAverage(layer, momentum, seen * max(count, 1)) for layer, count in zip(layers, calls, strict=True)]
    with told_of_calls(averages):
        for batch in chain([first], pending):
            _pass(model, averages, batch)
            if seen:
                _check_calls(model, averages, calls)
    if not any(average.used for average in averages):
        raise EvaluationError(
            f"network {type(model).__name__}: its forward pass calls no batch-normalisation layer of it, so adaptive"
            " batch normalisation has nothing to adapt; score it as it is (vanilla)"
        )


def _pass(model: nn.Module, averages: list[LayerAverage], batch: Inputs) -> None:
    images = images_in(batch)
    for average in averages:
        average.begin(images)
    run(model, batch)
    for average in averages:
        average.end()


def _check_calls(model: nn.Module, averages: list[LayerAverage], expected: list[int]) -> None:
    """After `seen` images, which count once for every call: that is known only where all batches call alike."""
    for average, count in zip(averages, expected, strict=True):
        if average.calls != count and not (count == 0 and average.uncalled):
            name = next(name for name, module in model.named_modules() if module is average.layer)
            raise EvaluationError(
                f"layer '{name}': this batch calls it {average.calls} times and the first one {count} times, so that it"
                " is not known what the statistics of the images seen before count for; start anew (seen=0)"
            )


@contextmanager
def _only_these_train(model: nn.Module, layers: list[BatchNorm]) -> Iterator[None]:
    """Training mode for the given layers alone; modes and momenta come back, after an exception statistics too."""
    momenta = [layer.momentum for layer in layers]
    types = [_type_of(layer) for layer in layers]
    statistics = [{key: value.clone() for key, value in layer.named_buffers(recurse=False)} for layer in layers]
    with evaluating(model):
        for layer in layers:
            layer.training = True
            exact(layer)
        try:
            yield
        except BaseException:
            for layer, saved in zip(layers, statistics, strict=True):
                for key, value in layer.named_buffers(recurse=False):
                    value.copy_(saved[key])
            raise
        finally:
            for layer, momentum, dtype in zip(layers, momenta, types, strict=True):
                layer.momentum = momentum
                layer.to(dtype)


def _type_of(layer: BatchNorm) -> torch.dtype:
    assert layer.running_mean is not None
    return layer.running_mean.dtype
