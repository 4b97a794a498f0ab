"""Everything that scores a candidate, loaded once: the network, its space and the two sets of images."""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from eagleeye.batchnorm import adapt_batch_norm
from eagleeye.channels import Space
from eagleeye.data import Batches
from eagleeye.evaluate import Score, evaluate
from eagleeye.prune import prune
from tasks.artifacts import CALIBRATION, SUB_VALIDATION
from tasks.images import choose_device, load_subset, preprocess
from tasks.network import load_network
from tasks.params import Params
from tasks.scorebook import Scores
from tasks.space import trace_network


@dataclass(frozen=True)
class Bench:
    """What candidates are scored with."""

    params: Params
    network: nn.Module
    space: Space
    calibration: Batches[torch.Tensor]
    sub_validation: Batches[tuple[torch.Tensor, torch.Tensor]]

    def score(self, rates: Sequence[float]) -> Scores:
        """Prune, recalibrate, and look at the sub-validation images.

        Args:
            rates: Rate per group.

        Returns:
            The scores, with the time it took.
        """
        started = time.perf_counter()
        small = self.prune(rates)
        vanilla = self.look_at(small) if self.params.evaluate.vanilla else None
        self.adapt(small)
        score = self.look_at(small)
        seconds = time.perf_counter() - started
        if vanilla is None:
            return Scores(score.accuracy, score.loss, seconds=seconds)
        return Scores(score.accuracy, score.loss, vanilla.accuracy, vanilla.loss, seconds)

    def prune(self, rates: Sequence[float]) -> nn.Module:
        """The network with these rates, BN statistics as they were."""
        return prune(self.network, self.space, rates)

    def adapt(self, network: nn.Module) -> None:
        """Re-estimate a network's BN statistics on the calibration images."""
        settings = self.params.evaluate
        adapt_batch_norm(network, self.calibration, mode=settings.mode, iterations=settings.iterations)

    def look_at(self, network: nn.Module) -> Score:
        """A network's score on the sub-validation images, as it is."""
        return evaluate(network, self.sub_validation)


def open_bench(params: Params, key: str) -> Bench:
    """Load what candidates are scored with; the last one is kept in memory.

    Args:
        params: The settings.
        key: The search, from `tasks.search.key_of`: another content gives another bench.
    """
    return _open(params.model_dump_json(), key)


@functools.lru_cache(maxsize=1)
def _open(settings: str, _key: str) -> Bench:
    params = Params.model_validate_json(settings)
    device = choose_device(params.evaluate.device)
    network = load_network(params)
    space = trace_network(params, network)
    calibration, sub_validation = (load_subset(params, path)[0] for path in (CALIBRATION, SUB_VALIDATION))
    shape, size = preprocess(params), params.evaluate.batch_size
    return Bench(
        params,
        network.to(device),
        space,
        Batches(calibration, shape, batch_size=size, device=device, labelled=False),
        Batches(sub_validation, shape, batch_size=size, device=device, labelled=True),
    )
