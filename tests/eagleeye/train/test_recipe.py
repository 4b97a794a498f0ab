import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.errors import ConfigError
from eagleeye.train.recipe import Recipe, learning_rate


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("lr", 0.0),
        ("lr", math.nan),
        ("momentum", 1.0),
        ("weight_decay", -1e-4),
        ("warmup_epochs", 3),
        ("label_smoothing", 1.0),
        ("ema", 0.0),
        ("ema", 1.0),
        ("distillation", 1.01),
        ("distillation", -0.1),
        ("temperature", 0.0),
        ("augment", "mixup"),
        ("seed", -1),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_that_names_it(setting, value):
    settings = {"epochs": 3, setting: value}
    with pytest.raises(ConfigError, match=f"^{setting} is {value!r}, but must be [^\n]+$"):
        Recipe(**settings)


def test_without_warmup_the_rate_is_half_a_cosine_from_the_peak():
    recipe = Recipe(epochs=2, lr=0.4)
    rates = [learning_rate(recipe, step, 2) for step in range(4)]
    assert rates == pytest.approx([0.4, 0.2 + 0.2 * math.sqrt(0.5), 0.2, 0.2 - 0.2 * math.sqrt(0.5)])


def test_warmup_rises_in_equal_steps_to_the_peak_and_the_cosine_starts_there():
    recipe = Recipe(epochs=3, lr=1.0, warmup_epochs=1)
    rates = [learning_rate(recipe, step, 4) for step in range(6)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[5] < 1.0


@given(epochs=st.integers(1, 20), warmup=st.integers(0, 5), steps=st.integers(1, 9), lr=st.floats(1e-5, 10))
def test_the_rate_stays_positive_and_falls_after_its_peak(epochs, warmup, steps, lr):
    recipe = Recipe(epochs=epochs + warmup, warmup_epochs=warmup, lr=lr)
    rates = [learning_rate(recipe, step, steps) for step in range(recipe.epochs * steps)]
    assert all(0 < rate <= lr * (1 + 1e-12) for rate in rates)
    falling = rates[warmup * steps :]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(lr)


@given(epochs=st.integers(1, 8), warmup=st.integers(0, 4), steps=st.integers(1, 9), lr=st.floats(1e-4, 10))
def test_the_rate_is_that_of_torchs_own_schedulers(epochs, warmup, steps, lr):
    recipe = Recipe(epochs=epochs + warmup, warmup_epochs=warmup, lr=lr)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    rising, falling = warmup * steps, epochs * steps
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=falling)
    if warmup:
        # From the first step's share of the peak to the peak, which the cosine starts from again.
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rising, 1.0, total_iters=rising - 1)
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, scheduler], milestones=[rising])
    wanted = []
    for _ in range(recipe.epochs * steps):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = [learning_rate(recipe, step, steps) for step in range(recipe.epochs * steps)]
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9 * lr)
