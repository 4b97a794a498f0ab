"""How a network is run in training: on images, or on images and targets where it computes its losses itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.channels.core import core_inputs, core_of
from eagleeye.forward.inputs import Call, Inputs, call
from eagleeye.forward.structures import mapped
from eagleeye.task import Task


@dataclass(frozen=True)
class Made:
    """What a network that computes its losses made of a batch.

    Attributes:
        losses: Its losses; None where it was run no further than its core.
        reached: What its core was called with; None where nobody asked.
        core: What its core made of that.
    """

    losses: Any
    reached: Inputs = None
    core: Any = None


class Forward(nn.Module):
    """Runs a network in training.

    Args:
        model: The network.
        task: What it is for.
        core: The name of its core.
        teacher: The network to learn from, if there is one.
        alone: Whether there is nothing else to learn from.
    """

    def __init__(self, model: nn.Module, task: Task, core: str, teacher: nn.Module | None, *, alone: bool) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self.core = core
        self.alone = alone
        self._teacher = [teacher]  # no module of its own: it is not trained

    def forward(self, x: Tensor, y: Any) -> Any:
        """Run a batch.

        Args:
            x: Images, as the network takes them.
            y: Their targets.

        Returns:
            The network's outputs; `Made` where it computes losses.
        """
        if not self.task.computes_losses:
            return self.model(x)
        teacher = self._teacher[0]
        core = core_of(self.model, self.core)
        if teacher is not None and self.alone:
            # Without targets a network in training says nothing: what reaches the teacher's core stands for it.
            reached = core_inputs(teacher, self.core, x)
            return Made(None, reached, call(core, _own(reached)))
        self.task.check_images(self.model, x, y)
        if teacher is None:
            return Made(self.model(x, y))
        with _recorded(core) as calls:
            losses = self.model(x, y)
        return Made(losses, *calls[-1])


@contextmanager
def _recorded(core: nn.Module) -> Iterator[list[tuple[Call, Any]]]:
    """The calls of a core, and what it returned."""
    reached: list[Call] = []
    calls: list[tuple[Call, Any]] = []

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        reached.append(_own(Call(args, kwargs)))

    def after(_module: nn.Module, _args: Any, output: Any) -> None:
        calls.append((reached[-1], output))

    handles = [core.register_forward_pre_hook(before, with_kwargs=True), core.register_forward_hook(after)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _own(reached: Inputs) -> Inputs:
    """Copies: a core may write into what it is given."""
    with torch.no_grad():
        return mapped(reached, Tensor.clone)
