"""Everything that scores a candidate, loaded once: the engine with the network and the two sets of images."""

import functools
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from eagleeye.channels import Space
from eagleeye.data import Batches, decode_to
from eagleeye.engine import GPU_LANES, Engine, Method, choose_precision, keep_freed_memory
from eagleeye.errors import ConfigError
from eagleeye.forward.cores import one_thread
from eagleeye.prune import prune
from eagleeye.scoring.batchnorm import adapt_batch_norm, batch_norm_layers
from eagleeye.scoring.racing import Rung, plan
from eagleeye.strategies import Strategy
from tasks.artifacts import BASELINE, CALIBRATION, DECODED, SUB_VALIDATION, require
from tasks.inputs.images import choose_device, facts_of, open_subset, preprocess
from tasks.inputs.importance import batch_in_turn, measure_activations, open_criterion
from tasks.inputs.network import load_network
from tasks.inputs.space import trace_network
from tasks.params import Params
from tasks.state.content_key import content_key
from tasks.state.sources import own_sources, sources_of
from tasks.task_rules import task_for

# The library's part in a score: an edit of what these are made of makes scores on record another's.
_MADE_OF = ("eagleeye.data", "eagleeye.engine", "eagleeye.models", "eagleeye.scoring.entry")
# Settings of evaluate that do not change a score: a candidate's images are part of its place on record.
UNSCORED = {"workers", "candidates_per_task", "racing", "first_images"}


@dataclass(frozen=True)
class Evaluator:
    """What candidates are scored with."""

    params: Params
    network: nn.Module
    space: Space
    engine: Engine

    def rungs(self, candidates: int) -> tuple[Rung, ...]:
        """The rungs of the race.

        Args:
            candidates: How many start.
        """
        return rungs_of(self.params, candidates, self.everything)

    @property
    def everything(self) -> Rung:
        """All images there are."""
        return Rung(len(self.engine.calibration.labels), len(self.engine.sub_validation.labels))

    def take_a_core(self) -> None:
        """Let this thread compute on one core: small convolutions gain little from a second, a second candidate all."""
        if self.engine.parent.device.type == "cpu":
            torch.set_num_threads(1)

    def prune(self, strategy: Strategy | Sequence[float]) -> nn.Module:
        """The pruned network as fine-tuning finds it, BN statistics as they were, channels last like the images."""
        method = self.engine.method
        images = batch_in_turn(self.params, self.engine.calibration)
        small: nn.Module = prune(
            self.network, self.space, strategy, criterion=method.criterion, refit=method.refit, in_turn=images
        )
        return small.to(memory_format=torch.channels_last)

    @property
    def adapts(self) -> bool:
        """Whether there are BN statistics to re-estimate."""
        return bool(batch_norm_layers(self.network))

    def adapt(self, network: nn.Module) -> None:
        """Re-estimate a network's BN statistics on the calibration images, if it has any."""
        if not self.adapts:
            return
        settings = self.params.evaluate
        adapt_batch_norm(network, self.engine.calibration, mode=settings.mode, iterations=settings.iterations)


def rungs_of(params: Params, candidates: int, last: Rung) -> tuple[Rung, ...]:
    """The rungs of a race.

    Args:
        params: The settings.
        candidates: How many start.
        last: All images there are.
    """
    settings = params.evaluate
    if settings.racing == "off" or settings.mode == "paper":
        return (last,)
    return plan(candidates, Rung(*settings.first_images), last, batch_size=settings.batch_size)


def open_evaluator(params: Params, key: str) -> Evaluator:
    """Load what candidates are scored with; the last one is kept in memory.

    Args:
        params: The settings.
        key: From `scoring_key`: another content gives another evaluator.
    """
    return _open(params.model_dump_json(), key)


def scoring_key(params: Params) -> str:
    """Hash of everything but its widths that determines a candidate's scores."""
    require(BASELINE, CALIBRATION, SUB_VALIDATION)
    settings = params.model_dump(mode="json")
    device = choose_device(params.evaluate.device)
    evaluate = {key: value for key, value in settings["evaluate"].items() if key not in UNSCORED}
    return content_key(
        {
            "baseline": BASELINE,
            "calibration": CALIBRATION,
            "sub_validation": SUB_VALIDATION,
            "preprocess": facts_of(preprocess(params)),
            "model": {key: settings["model"][key] for key in ("name", "options", "core")},
            "exclude": settings["strategies"]["exclude"],
            "importance": settings["importance"],
            "evaluate": evaluate,
            # The same bits come out of the same kind of device alone.
            "arithmetic": [device.type, str(choose_precision(_precision(params), device))],
            "evaluator": Path(__file__),
            **sources_of(*_MADE_OF),
            "task": params.task,
            **own_sources(params.task, params.data.source, params.model.name, params.importance.criterion),
        }
    )


@functools.lru_cache(maxsize=1)
def _open(settings: str, key: str) -> Evaluator:
    params = Params.model_validate_json(settings)
    wanted = params.evaluate
    device = choose_device(params.evaluate.device)
    if scoring_key(params) != key:
        # On another machine of a cluster: better none than scores that cannot be compared.
        raise ConfigError(
            f"{socket.gethostname()}: scores made here would be others than those asked for: eagleeye's version, the"
            " files or the arithmetic of the device differ; install the same version, and set evaluate.device and"
            " evaluate.precision to what all machines have"
        )
    if device.type == "cpu":
        keep_freed_memory()
    network = load_network(params).to(device)
    space = trace_network(params, network)
    shape = preprocess(params)
    size = wanted.batch_size
    files = {path: _decoded_file(params, path) for path in (CALIBRATION, SUB_VALIDATION)}
    for stale in set(DECODED.glob("*.npy")) - set(files.values()):
        stale.unlink(missing_ok=True)
    calibration, sub_validation = (decode_to(file, open_subset(path), None, shape) for path, file in files.items())
    lanes = _lanes(params)
    chosen = params.importance
    with one_thread():
        found = measure_activations(params, network, space, calibration) if chosen.measures else None
        importance = open_criterion(params, calibration, device, found)
        refit = found if chosen.refit else None
        engine = Engine(
            network,
            space,
            Batches(calibration, shape, batch_size=size, device=device, labelled=False),
            Batches(sub_validation, shape, batch_size=size, device=device, labelled=True),
            method=Method(wanted.mode, wanted.iterations, _precision(params), importance, refit),
            task=task_for(params),
            lanes=lanes,
            say=logging.getLogger(__name__).warning,
        )
    return Evaluator(params, network, space, engine)


def _lanes(params: Params) -> int:
    """How many candidates to score at a time."""
    on_cpu = choose_device(params.evaluate.device).type == "cpu"
    return params.evaluate.workers or (torch.get_num_threads() if on_cpu else GPU_LANES)


def _precision(params: Params) -> str:
    return "float32" if params.evaluate.mode == "paper" else params.evaluate.precision


def _decoded_file(params: Params, path: Path) -> Path:
    shape = preprocess(params)
    settings = None if shape is None else {"size": shape.size, "resize": shape.resize, "channels": shape.channels}
    key = content_key({"images": path, "preprocess": settings, **sources_of("eagleeye.data")})
    return DECODED / f"{key[:16]}.npy"
