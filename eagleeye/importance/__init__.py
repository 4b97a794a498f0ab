"""Importance criteria: how much every channel of a group matters (method, step 2), chosen by name."""

from eagleeye.importance.filters import l1_norm
from eagleeye.importance.named import criterion
from eagleeye.importance.ranked import Criterion

__all__ = ["Criterion", "criterion", "l1_norm"]
