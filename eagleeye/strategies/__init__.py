"""Strategies: one pruning rate per group, drawn or bred so that the thin network meets a budget (method, step 1)."""

from eagleeye.strategies.budget import Budget
from eagleeye.strategies.even import even
from eagleeye.strategies.strategy import Strategy
from eagleeye.strategies.uniform import sample

__all__ = ["Budget", "Strategy", "even", "sample"]
