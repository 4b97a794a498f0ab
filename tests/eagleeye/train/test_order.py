import pytest
import torch

from eagleeye.errors import ConfigError
from eagleeye.train import Recipe
from eagleeye.train.order import epoch_plan


def test_epochs_and_seeds_give_other_orders():
    plans = [torch.cat(epoch_plan(64, Recipe(epochs=2, seed=seed), epoch)) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert not any(torch.equal(plans[i], plans[j]) for i, j in [(0, 1), (0, 2), (1, 2)])


def test_a_last_batch_of_one_image_is_dropped_because_batch_norm_cannot_use_it():
    assert [len(rows) for rows in epoch_plan(21, Recipe(epochs=1, batch_size=10), 0)] == [10, 10]
    assert [len(rows) for rows in epoch_plan(22, Recipe(epochs=1, batch_size=10), 0)] == [10, 10, 2]


def test_processes_get_equal_shares_even_of_the_last_batch():
    plan = epoch_plan(23, Recipe(epochs=1, batch_size=8), 0, world=4)
    assert [len(rows) for rows in plan] == [8, 8]


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(ConfigError, match="batch_size 10 cannot be shared out among 4 processes"):
        epoch_plan(64, Recipe(epochs=1, batch_size=10), 0, world=4)
