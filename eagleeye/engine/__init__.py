"""Evaluate many candidates of one trained network: traced once, ranked once, then only tensors change hands."""

from eagleeye.engine.engine import GPU_LANES, Engine
from eagleeye.engine.memory import keep_freed_memory
from eagleeye.engine.method import Method, Outcome, choose_precision

__all__ = ["GPU_LANES", "Engine", "Method", "Outcome", "choose_precision", "keep_freed_memory"]
