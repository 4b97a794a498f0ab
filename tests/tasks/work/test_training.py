"""What a training run of a stage is given, and the key that its state is found by."""

import pandas as pd
import pytest
import torch
from torch import nn

from eagleeye.train import train
from tasks import artifacts
from tasks.inputs.evaluator import open_evaluator, scoring_key
from tasks.inputs.network import load_network
from tasks.params import Params
from tasks.stages.finetune import start_of, tune
from tasks.work.fitting import study_key
from tasks.work.training import forget_all_but, open_trainer, recipe_of, training_key
from tests.tasks.conftest import Recorder, Search

TAUGHT = {"ema": 0.9, "distillation": 0.5, "temperature": 3.0, "epochs": 1}


def tuned(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"finetune": params.finetune.model_copy(update=changes)})


def same(first: nn.Module, second: nn.Module) -> bool:
    mine, other = first.state_dict(), second.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def test_a_candidate_learns_from_the_unpruned_network(search: Search) -> None:
    params = tuned(search.params, **TAUGHT)
    (row,) = pd.read_parquet(artifacts.RANKING).query("rank == 1").to_dict("records")
    evaluator, trainer = open_evaluator(params, scoring_key(params)), open_trainer(params, params.finetune, "mine")
    key = training_key(params, params.finetune, start_of(params, row))
    found = tune(row, evaluator, trainer, key, Recorder())
    wanted = evaluator.prune(row["rates"])
    evaluator.adapt(wanted)
    recipe, full = recipe_of(params.finetune), load_network(params)
    assert (recipe.ema, recipe.distillation, recipe.temperature) == (0.9, 0.5, 3.0)
    train(wanted, trainer.data, trainer.validation, recipe, device=trainer.device, teacher=full)
    assert same(found.network, wanted)
    assert trainer.teacher is not None
    assert same(trainer.teacher, load_network(params))
    # Continued from the state on disk, it is the same.
    again = tune(row, evaluator, open_trainer(params, params.finetune, "mine"), key, context := Recorder())
    assert same(again.network, wanted)
    assert "continues after epoch 1 of 1" in context.said[0]
    forget_all_but("mine", [])


def test_without_distillation_no_teacher_is_loaded(search: Search) -> None:
    artifacts.BASELINE.unlink()
    plain = tuned(search.params, distillation=0.0).finetune
    for settings in (search.params.baseline, plain, search.params.correlation.training):
        assert open_trainer(search.params, settings, "mine").teacher is None


@pytest.mark.parametrize(
    "change", [{"ema": 0.99}, {"distillation": 0.7}, {"temperature": 2.0}, {"warmup_epochs": 1}], ids=str
)
def test_a_setting_of_the_training_gives_another_key(search: Search, change: dict[str, float]) -> None:
    params = search.params
    other = tuned(params, **change)
    assert training_key(params, params.finetune, {}) != training_key(other, other.finetune, {})
    training = params.correlation.training.model_copy(update=change)
    studied = params.model_copy(update={"correlation": params.correlation.model_copy(update={"training": training})})
    assert study_key(params, "scoring") != study_key(studied, "scoring")


def test_another_teacher_gives_another_key(search: Search) -> None:
    plain, taught = (tuned(search.params, distillation=share).finetune for share in (0.0, 0.5))

    def keys() -> list[str]:
        return [training_key(search.params, settings, {"widths": [1]}) for settings in (plain, taught)]

    before = keys()
    assert keys() == before
    artifacts.BASELINE.write_bytes(artifacts.BASELINE.read_bytes() + b" ")
    assert [mine == other for mine, other in zip(keys(), before, strict=True)] == [True, False]
