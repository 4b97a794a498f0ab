"""Strategies: one pruning rate per group, drawn or bred so that the thin network meets a budget (method, step 1)."""

from eagleeye.strategies.allocation import allocate
from eagleeye.strategies.budget import Budget
from eagleeye.strategies.even import even
from eagleeye.strategies.evolution import evolve
from eagleeye.strategies.samplers import Sampler, sampler
from eagleeye.strategies.shell import Shell
from eagleeye.strategies.starters import even_filled, starters
from eagleeye.strategies.strategy import Strategy
from eagleeye.strategies.uniform import sample, uniform

__all__ = [
    "Budget",
    "Sampler",
    "Shell",
    "Strategy",
    "allocate",
    "even",
    "even_filled",
    "evolve",
    "sample",
    "sampler",
    "starters",
    "uniform",
]
