from dataclasses import replace

import numpy as np
import pytest
import torch

import eagleeye
from eagleeye.engine import Engine, Method
from eagleeye.engine.method import best_method
from eagleeye.forward.structures import tensors
from eagleeye.scoring.evaluate import outputs_of, predict
from eagleeye.task.named import TASKS
from tests.eagleeye.detectors import detector, pictures, targets

TASK = TASKS["detection"]
WIDTHS = (4, 6)
EXACT = Method(precision="float32")


@pytest.fixture(scope="module")
def model():
    return detector()


def engine_of(model, **settings):
    space = eagleeye.trace(model, pictures(2), core="backbone")
    images = pictures(48), (pictures(40, seed=3), targets(40))
    return Engine(model, space, *images, task=TASK, **{"method": EXACT, **settings})


@pytest.mark.parametrize("refitted", [False, True])
def test_a_candidate_is_scored_as_the_whole_network_by_hand(model, refitted):
    engine = engine_of(model)
    if refitted:
        method = best_method(model, engine.whole.space, engine.calibration)
        engine = engine_of(model, method=replace(method, precision="float32"))
    outcome = engine.score(WIDTHS, vanilla=True)
    network = engine.network(WIDTHS)
    by_hand = predict(network, engine.sub_validation, full=outputs_of(model), task=TASK)
    assert set(by_hand.columns) == set(TASK.scorers)
    for name, column in by_hand.columns.items():
        np.testing.assert_allclose(outcome.predictions.columns[name], column, atol=1e-5)
    assert any(outcome.scores[name] != outcome.vanilla_predictions.scores[name] for name in TASK.scorers)


def test_all_statistics_are_those_of_the_whole_network_recalibrated(model):
    engine = engine_of(model)
    thin = eagleeye.prune(model, engine.whole.space, RATES)
    eagleeye.adapt_batch_norm(thin, engine.calibration)
    network = engine.network(WIDTHS)
    for name, value in thin.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(network.state_dict()[name], value, msg=name)
    assert not torch.equal(network.norm.running_mean, model.norm.running_mean)


RATES = (0.5, 0.5)


def test_a_candidate_does_not_see_the_one_before(model):
    engine = engine_of(model, lanes=1)
    first = engine.score(WIDTHS, vanilla=True)
    engine.score((2, 3))
    again = engine.score(WIDTHS, vanilla=True)
    assert torch.equal(first.statistics, again.statistics)
    assert first.scores == again.scores
    assert first.vanilla_predictions.scores == again.vanilla_predictions.scores


def test_it_goes_on_from_a_rung_with_the_same_result(model):
    engine = engine_of(model)
    begun = engine.score(WIDTHS, calibration=24, sub_validation=20)
    size = engine.calibration.batch_size
    assert size >= 48  # all in one batch: begun anew below with smaller ones
    engine.calibration.batch_size = 12
    begun = engine.score(WIDTHS, calibration=24, sub_validation=20)
    whole = engine.score(WIDTHS)
    on = engine.score(WIDTHS, begun=(24, begun.statistics))
    torch.testing.assert_close(on.statistics, whole.statistics)


def test_the_unpruned_network_is_the_one_to_compare_with(model):
    engine = engine_of(model)
    full = engine.full_outputs()
    assert len(full) == 40
    with torch.no_grad():
        wanted = model(pictures(40, seed=3))
    for one, other in zip(tensors(full), tensors(wanted), strict=True):
        torch.testing.assert_close(one, other)
    assert engine.score((8, 12)).scores["agreement"] > 0.5


def test_around_a_core_in_16_bits_everything_stays_in_32(model):
    engine = engine_of(model, method=Method(precision="bfloat16"))
    exact = engine_of(model)
    # Nothing removed: the same bits as the unpruned network's, whose images are not rounded either.
    whole = engine.score((8, 12), vanilla=True)
    assert whole.vanilla_predictions.scores["agreement"] == pytest.approx(1, abs=1e-7)
    found, wanted = (each.score((8, 12)).scores["f1"] for each in (engine, exact))
    assert found == pytest.approx(wanted, abs=0.05)


def test_a_search_ranks_without_labels(model):
    space = eagleeye.trace(model, pictures(2), core="backbone")
    engine = Engine(model, space, pictures(16), pictures(20, seed=3), task=TASK)
    drawn = eagleeye.sample(space, eagleeye.Budget(macs=0.5, tolerance=0.1), count=3, max_rate=1, seed=0)
    ranking = eagleeye.search(engine, drawn)
    assert ranking["ranked_by"][0] == "agreement" and "f1" not in ranking
