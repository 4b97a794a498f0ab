"""What is said of a network before it is searched."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from eagleeye.task.named import TASKS
from tasks.inputs.preflight import _says_the_same


class Constant(nn.Module):
    """Gives class 0 to every pixel, or a class that follows from the picture."""

    def __init__(self, constant: bool) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, x: Tensor) -> Tensor:
        """Scores of two classes for pictures (n, 1, h, w)."""
        return torch.cat([torch.ones_like(x), torch.zeros_like(x) if self.constant else x], 1)


@pytest.mark.parametrize(
    ("task", "constant", "told"),
    [("segmentation", True, True), ("segmentation", False, False), ("fidelity", True, False)],
)
def test_a_network_that_looks_at_nothing_is_told_of(task: str, constant: bool, told: bool) -> None:
    images = 2 * torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    batches = SimpleNamespace(batch_size=6, part=lambda start, stop: (images[start:stop], None))
    engine = SimpleNamespace(task=TASKS[task], sub_validation=batches)
    evaluator = SimpleNamespace(engine=engine, network=Constant(constant))
    assert _says_the_same(cast("Any", evaluator)) is told
