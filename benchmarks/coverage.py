"""Which networks can be pruned, and how well: `python -m benchmarks.coverage` writes `docs/coverage.md`.

Every network is traced, pruned to half of its MACs by a random strategy and held against the criterion
(`eagleeye.check`), with random weights. Torch-Pruning's group pruner does the same beside it. Results are kept in a
JSON-lines file, so that the command may be stopped and started again.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import eagleeye
from benchmarks.coverage_networks import NETWORKS, Entry
from benchmarks.coverage_page import page
from benchmarks.coverage_rival import measure
from eagleeye.files import written_whole

Result = dict[str, Any]
LIMIT = 90
"""Seconds that one tool may take for one network."""


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(".eagleeye/coverage.jsonl"), help="kept results")
    parser.add_argument("--page", type=Path, default=Path("docs/coverage.md"), help="the table to write")
    parser.add_argument("--only", default="", help="names, separated by commas")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(filter(None, options.only.split(",")))
    done = _read(options.results)
    for entry in NETWORKS:
        key = f"{entry.source}/{entry.name}"
        if key in done or (wanted and entry.name not in wanted):
            continue
        done[key] = {"network": key, "side": entry.side} | _measured(entry)
        with options.results.open("a") as file:
            file.write(json.dumps(done[key]) + "\n")
        print(json.dumps(done[key]), flush=True)
        gc.collect()
    present = [done[key] for entry in NETWORKS if (key := f"{entry.source}/{entry.name}") in done]
    with written_whole(options.page) as beside:
        beside.write_text(page(present, version("torch-pruning")))


def _read(path: Path) -> dict[str, Result]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["network"]: result for result in map(json.loads, lines)}


def _measured(entry: Entry) -> Result:
    torch.manual_seed(0)
    try:
        network, x = lively(entry.make()), torch.randn(1, 3, entry.side, entry.side)
    except Exception as error:
        return {"eagleeye": {"error": _line(error)}, "torch_pruning": {"error": _line(error)}}
    full = counted(network, x)
    return {
        "eagleeye": _caught(lambda: _with_eagleeye(network, x, full)),
        "torch_pruning": _caught(lambda: measure(network, x, full)),
    }


def _with_eagleeye(network: nn.Module, x: Tensor, full: int) -> Result:
    start = time.perf_counter()
    space = eagleeye.trace(network, x)
    seconds = time.perf_counter() - start
    narrowest = space.cost_of(np.ones((1, len(space.groups)), dtype=np.int64)).macs[0]
    found: Result = {"seconds": seconds, "groups": len(space.groups)}
    found["prunable"] = 1 - float(narrowest) / space.full_cost.macs
    half = eagleeye.sample(space, eagleeye.Budget(macs=0.5), count=1, max_rate=0.9, seed=0)[0]
    uneven = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    found["difference"] = max(eagleeye.check(network, space, strategy, x) for strategy in (half, uneven))
    thin = eagleeye.prune(network, space, half)
    return found | {
        "macs": counted(thin, x) / full,
        "exact": counted(thin, x) - full == half.macs - space.full_cost.macs,
    }


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random values instead of initial ones that hide mistakes: statistics, and parameters that are all alike."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if name == "running_mean":
                tensor.data.normal_(0, 0.1, generator=generator)
            elif tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all()):
                tensor.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def counted(network: nn.Module, x: Tensor) -> int:
    """MACs by torch's own counter."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() // 2


def _caught(measure: Callable[[], Result]) -> Result:
    try:
        with _limited(LIMIT):
            return measure()
    except Exception as error:  # whatever goes wrong is a row of the table
        return {"error": _line(error)}


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: types.FrameType | None) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:160]


if __name__ == "__main__":
    main()
