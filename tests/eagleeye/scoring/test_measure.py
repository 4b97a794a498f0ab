"""Metrics of a whole set, and what of them decides."""

import pytest
import torch
from torch import nn

from eagleeye.scoring.measure import has_metrics, leading, measure
from eagleeye.task import CLASSIFICATION
from eagleeye.task.named import TASKS


class Same(nn.Module):
    """Gives what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_an_error_decides_by_being_small_and_a_share_by_being_large() -> None:
    numbers, wrong = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.5]])
    batches = [(numbers, wrong)]
    assert measure(Same(), batches, TASKS["regression"])["mean absolute error"] == pytest.approx(0.75)
    assert leading(Same(), batches, TASKS["regression"]) == pytest.approx(-0.75)
    masks = torch.tensor([[[0, 1], [1, 1]]])
    scores = torch.nn.functional.one_hot(torch.tensor([[[0, 0], [1, 1]]]), 2).permute(0, 3, 1, 2).float()
    # Of class 0 one of two pixels, of class 1 two of three.
    assert leading(Same(), [(scores, masks)], TASKS["segmentation"]) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_what_has_no_metric_leaves_it_to_its_scores() -> None:
    assert not has_metrics(CLASSIFICATION)
    assert leading(Same(), [], CLASSIFICATION) is None
