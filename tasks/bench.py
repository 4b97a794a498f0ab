"""Everything that scores a candidate, loaded once: the network, its space and the two sets of images."""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from eagleeye.batchnorm import adapt_batch_norm
from eagleeye.channels import Space
from eagleeye.data import Batches
from eagleeye.evaluate import Score, evaluate
from eagleeye.prune import prune
from eagleeye.strategies import Strategy
from tasks.artifacts import BASELINE, CALIBRATION, LIBRARY, SUB_VALIDATION, require
from tasks.images import choose_device, load_subset, preprocess
from tasks.network import load_network
from tasks.params import Params
from tasks.scorebook import Scores, search_key
from tasks.space import trace_network

# The library's part in a score; an edit elsewhere leaves the scores on record valid.
SOURCES = ("batchnorm.py", "channels", "data", "evaluate.py", "importance.py", "models", "prune.py")


UNSCORED = {"workers", "candidates_per_task"}  # settings of evaluate that do not change a score


@dataclass(frozen=True)
class Bench:
    """What candidates are scored with."""

    params: Params
    network: nn.Module
    space: Space
    calibration: Batches[torch.Tensor]
    sub_validation: Batches[tuple[torch.Tensor, torch.Tensor]]

    def score(self, strategy: Strategy) -> Scores:
        """Prune, recalibrate, and look at the sub-validation images.

        Args:
            strategy: The candidate.

        Returns:
            The scores, with the time it took.
        """
        if self.calibration.pixels.device.type == "cpu":
            # Small convolutions gain little from a second core, a second candidate gains all of it; threads that wait
            # for each other come to a standstill on a busy machine; and no score depends on the number of cores.
            torch.set_num_threads(1)
        started = time.perf_counter()
        small = self.prune(strategy)
        vanilla = self.look_at(small) if self.params.evaluate.vanilla else None
        self.adapt(small)
        score = self.look_at(small)
        seconds = time.perf_counter() - started
        if vanilla is None:
            return Scores(score.accuracy, score.loss, seconds=seconds)
        return Scores(score.accuracy, score.loss, vanilla.accuracy, vanilla.loss, seconds)

    def prune(self, strategy: Strategy | Sequence[float]) -> nn.Module:
        """The pruned network, BN statistics as they were, channels last in memory like the images."""
        small: nn.Module = prune(self.network, self.space, strategy)
        return small.to(memory_format=torch.channels_last)

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
        key: From `scoring_key`: another content gives another bench.
    """
    return _open(params.model_dump_json(), key)


def worker_count(params: Params) -> int:
    """How many candidates to score at a time."""
    on_cpu = choose_device(params.evaluate.device).type == "cpu"
    return params.evaluate.workers or (torch.get_num_threads() if on_cpu else 1)


def scoring_key(params: Params) -> str:
    """Hash of everything but its widths that determines a candidate's scores."""
    require(BASELINE, CALIBRATION, SUB_VALIDATION)
    settings = params.model_dump(mode="json")
    evaluate = {key: value for key, value in settings["evaluate"].items() if key not in UNSCORED}
    return search_key(
        {
            "baseline": BASELINE,
            "calibration": CALIBRATION,
            "sub_validation": SUB_VALIDATION,
            "preprocess": settings["data"]["preprocess"],
            "model": {key: settings["model"][key] for key in ("name", "options")},
            "exclude": settings["strategies"]["exclude"],
            "evaluate": evaluate,
            "bench": Path(__file__),
            **{source: LIBRARY / source for source in SOURCES},
        }
    )


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
