"""Channels: which filters are tied, which slices of which tensors each one owns, what every choice costs."""

from eagleeye.channels.groups import Group
from eagleeye.channels.space import Cost, Costs, Space
from eagleeye.channels.trace import trace

__all__ = ["Cost", "Costs", "Group", "Space", "trace"]
