"""Prune a trained CNN to a budget with adaptive batch normalisation (EagleEye, Li et al., ECCV 2020)."""

import os

# ONNX Runtime reports to its maker from the moment it is loaded, unless told before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from eagleeye.channels import Cost, Costs, Group, Space, trace
from eagleeye.check import check
from eagleeye.compression import Candidate, Compressed, compress
from eagleeye.cost import cost
from eagleeye.engine import Engine, Method
from eagleeye.errors import EagleEyeError
from eagleeye.importance import criterion
from eagleeye.prune import prune
from eagleeye.reconstruction import reconstruct
from eagleeye.saving.artifact import load, read_metadata, save
from eagleeye.scoring.batchnorm import adapt_batch_norm
from eagleeye.scoring.evaluate import Score, evaluate
from eagleeye.scoring.race import Generations
from eagleeye.scoring.rank import rank
from eagleeye.search import Memory, search
from eagleeye.strategies import Budget, Shell, Strategy, allocate, even, evolve, sample, sampler, starters

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Candidate",
    "Compressed",
    "Cost",
    "Costs",
    "EagleEyeError",
    "Engine",
    "Generations",
    "Group",
    "Memory",
    "Method",
    "Score",
    "Shell",
    "Space",
    "Strategy",
    "adapt_batch_norm",
    "allocate",
    "check",
    "compress",
    "cost",
    "criterion",
    "evaluate",
    "even",
    "evolve",
    "load",
    "prune",
    "rank",
    "read_metadata",
    "reconstruct",
    "sample",
    "sampler",
    "save",
    "search",
    "starters",
    "trace",
]
