"""Scores against scikit-learn, and what is no score."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

import eagleeye
from eagleeye.errors import EvaluationError
from eagleeye.scoring.evaluate import predict
from eagleeye.task import classification as scores
from tests.eagleeye.networks import Residual, lively


def test_accuracy_and_loss_agree_with_scikit_learn_whatever_the_batches() -> None:
    network, x, labels = lively(Residual()), torch.randn(50, 3, 12, 12), torch.randint(0, 5, (50,))
    with torch.no_grad():
        probabilities = torch.softmax(network(x).double(), dim=1).numpy()
    for size in (50, 7):
        accuracy, loss = eagleeye.evaluate(network, list(zip(x.split(size), labels.split(size), strict=True)))
        assert accuracy == accuracy_score(labels, probabilities.argmax(axis=1))
        assert loss == pytest.approx(log_loss(labels, probabilities, labels=range(5)), rel=1e-5)


def test_the_network_is_left_in_its_mode_even_after_a_failure() -> None:
    network = lively(Residual()).train()
    with pytest.raises(EvaluationError, match="3 channels, but got 4"):
        eagleeye.evaluate(network, [(torch.randn(2, 4, 12, 12), torch.zeros(2, dtype=torch.long))])
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("network", "label", "message"),
    [
        (nn.Flatten(), 7, r"class 7 occurs, but the network has 3 outputs"),
        (nn.Identity(), 0, r"no table of class scores"),
        (nn.Sequential(nn.Flatten(), nn.Threshold(1e9, float("nan"))), 0, "NaN or infinite"),
    ],
)
def test_outputs_that_are_no_scores_are_refused(network: nn.Module, label: int, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        eagleeye.evaluate(network, [(torch.randn(2, 3, 1, 1), torch.tensor([0, label]))])


def test_no_images_are_refused() -> None:
    with pytest.raises(EvaluationError, match="there are no images"):
        eagleeye.evaluate(nn.Flatten(), [])


def test_all_scores_have_their_names() -> None:
    network, x, labels = lively(Residual()), torch.randn(20, 3, 12, 12), torch.randint(0, 5, (20,))
    batches = list(zip(x.split(7), labels.split(7), strict=True))
    alone = predict(network, batches)
    assert list(alone.scores) == [name for name, scorer in scores.SCORERS.items() if not scorer.compares]
    assert (alone.scores["accuracy"], alone.scores["loss"]) == alone.score
    with torch.no_grad():
        full = network(x).roll(1, dims=1)
    compared = predict(network, batches, full=lambda start, stop, _batch: full[start:stop]).scores
    assert list(compared) == list(scores.SCORERS)
    with torch.no_grad():
        assert compared["agreement"] == scores.agreement(network(x), full).double().mean().item()
        assert compared["divergence"] == pytest.approx(scores.divergence(network(x), full).mean().item(), rel=1e-4)
