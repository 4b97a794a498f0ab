"""Scores of logits against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from sklearn.metrics import accuracy_score, log_loss

from eagleeye.errors import ConfigError
from eagleeye.task import classification as scores

order = scores.CLASSIFICATION.order


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a candidate and of the unpruned network, and labels."""
    images, classes = draw(st.integers(1, 8)), draw(st.integers(2, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    scale = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits, full = (scale * torch.randn(images, classes, generator=generator) for _ in range(2))
    return logits, full, torch.randint(0, classes, (images,), generator=generator)


@given(cases())
def test_means_are_those_of_scikit_learn_and_scipy(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, full, labels = case
    mine, wanted = (softmax(each.double().numpy(), axis=1) for each in (logits, full))
    assert scores.correct(logits, labels).double().mean().item() == accuracy_score(labels, mine.argmax(1))
    agreed = scores.agreement(logits, full).double().mean().item()
    assert agreed == accuracy_score(wanted.argmax(1), mine.argmax(1))
    if mine.min() > 1e-15:  # below, scikit-learn clips
        loss = log_loss(labels, mine, labels=range(logits.shape[1]))
        np.testing.assert_allclose(scores.cross_entropy(logits, labels).mean(), loss, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(scores.divergence(logits, full), rel_entr(wanted, mine).sum(1), rtol=1e-6, atol=1e-9)


@given(cases())
def test_a_network_agrees_with_itself(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    logits, full, _ = case
    assert scores.agreement(full, full).all()
    assert scores.divergence(full, full).abs().max() < 1e-12
    assert (scores.divergence(logits, full) >= 0).all()
    # Only differences between logits are probabilities.
    torch.testing.assert_close(
        scores.divergence(logits + 3, full - 2), scores.divergence(logits, full), atol=1e-4, rtol=1e-4
    )


def test_merits_grow_with_the_candidate_and_labels_decide_only_where_they_are_asked_for() -> None:
    found = {"accuracy": 0.5, "loss": 1.5, "agreement": 0.7, "divergence": 0.3}
    assert order("accuracy").merits(found) == (0.5, -1.5)
    assert order("loss").merits(found) == (-1.5, 0.5)
    unlabelled = {name: found[name] for name in ("agreement", "divergence")}
    assert order("agreement").merits(unlabelled) == (0.7, -0.3)
    assert order("divergence").merits(unlabelled) == (-0.3, 0.7)


def test_every_score_is_decided_between_equals_by_one_that_needs_the_same() -> None:
    for name, scorer in scores.SCORERS.items():
        assert scorer.name == name
        assert scores.SCORERS[scorer.second].compares == scorer.compares
        assert scorer.second != name


def test_a_share_is_better_the_larger_and_nats_the_smaller() -> None:
    signs = {name: scorer.sign for name, scorer in scores.SCORERS.items()}
    assert signs == {"accuracy": 1, "loss": -1, "agreement": 1, "divergence": -1}


@pytest.mark.parametrize("name", scores.SCORERS)
def test_evidence_is_as_exact_as_it_is_on_record(name: str) -> None:
    scorer, values = scores.SCORERS[name], np.random.default_rng(0).random(50)
    found = scorer.of(values > 0.5 if scorer.sign > 0 else values)
    np.testing.assert_array_equal(scorer.evidence.unpack(found.pack()).values, found.values)


def test_another_name_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match="'top1' is none of accuracy, loss, agreement, divergence"):
        order("top1")


def test_without_labels_the_first_score_that_needs_none_decides_and_others_are_refused() -> None:
    assert (order().name, order(labelled=False).name) == ("accuracy", "agreement")
    with pytest.raises(ConfigError, match=r"score loss: it needs labels, .* choose agreement or divergence"):
        order("loss", labelled=False)
