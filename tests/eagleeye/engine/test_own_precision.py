"""Networks that are not float32 are searched in their own precision; the engine looks at what it is given first."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.data import Batches, Preprocess
from eagleeye.engine import Engine, Method
from eagleeye.errors import EagleEyeError, EvaluationError
from tests.eagleeye import networks
from tests.eagleeye.engine.conftest import BATCH, SUB_VALIDATION, Setting, images, make_setting


def in_precision(dtype: torch.dtype) -> Setting:
    setting = make_setting(networks.Residual())
    network = copy.deepcopy(setting.network).to(dtype)
    return replace(setting, network=network, space=eagleeye.trace(network, torch.randn(1, 3, 12, 12, dtype=dtype)))


def engine_of(setting: Setting) -> Engine:
    images = setting.calibration, setting.sub_validation
    return Engine(setting.network, setting.space, *images, method=Method(), lanes=1)


@pytest.mark.parametrize(
    ("dtype", "loss"), [(torch.float64, 1e-9), (torch.float16, 5e-3), (torch.bfloat16, 4e-2)], ids=str
)
def test_scores_are_those_of_networks_built_one_by_one(dtype: torch.dtype, loss: float) -> None:
    setting = in_precision(dtype)
    engine = engine_of(setting)
    assert engine.dtype == dtype
    for strategy in setting.strategies:
        found, wanted = engine.score(strategy), setting.plain(strategy)
        assert found.score.loss == pytest.approx(wanted.loss, rel=loss)
        assert abs(found.score.accuracy - wanted.accuracy) <= 5 / SUB_VALIDATION
        assert found.statistics.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_going_on_gives_the_bits_of_starting_anew(dtype: torch.dtype) -> None:
    setting = in_precision(dtype)
    engine, strategy = engine_of(setting), setting.strategies[0]
    first = engine.score(strategy, calibration=BATCH)
    went_on = engine.score(strategy, begun=(BATCH, first.statistics))
    assert torch.equal(went_on.statistics, engine.score(strategy).statistics)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_the_winner_is_saved_and_loaded_in_its_precision(dtype: torch.dtype, tmp_path) -> None:
    setting = in_precision(dtype)
    before = {name: tensor.clone() for name, tensor in setting.network.state_dict().items()}
    engine = engine_of(setting)
    ranking = eagleeye.search(engine, setting.strategies)
    winner = next(each for each in setting.strategies if each.id == ranking["id"][0])
    network = engine.network(winner)
    eagleeye.save(network, tmp_path / "thin.safetensors")
    again = eagleeye.load(tmp_path / "thin.safetensors")
    x = torch.randn(2, 3, 12, 12, dtype=dtype)
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
    assert {tensor.dtype for tensor in again.state_dict().values() if tensor.is_floating_point()} == {dtype}
    assert all(torch.equal(tensor, before[name]) for name, tensor in setting.network.state_dict().items())


@pytest.mark.parametrize(("calibration", "sub_validation"), [("images", "labelled"), ("labelled", "labelled")])
def test_batches_of_another_kind_are_refused(setting: Setting, calibration: str, sub_validation: str) -> None:
    given = {"images": [torch.zeros(2, 3, 12, 12)], "labelled": setting.sub_validation}
    said = r"calibration: (a list of batches given; join them|the batches have labelled=True)"
    with pytest.raises(EagleEyeError, match=said):
        Engine(setting.network, setting.space, given[calibration], given[sub_validation])


def test_images_that_the_network_does_not_take_are_refused_before_the_search(setting: Setting) -> None:
    grey = Preprocess(mean=(0.5,), std=(0.2,))
    pixels = [replace(images(8, seed), pixels=images(8, seed).pixels[:, :1]) for seed in (1, 2)]
    calibration = Batches(pixels[0], grey, batch_size=8, device="cpu", labelled=False)
    sub_validation = Batches(pixels[1], grey, batch_size=8, device="cpu", labelled=True)
    with pytest.raises(EvaluationError, match=r"batch of \(8, 1, 12, 12\): .*to have 3 channels, but got 1"):
        Engine(setting.network, setting.space, calibration, sub_validation)


class Wrapped(nn.Module):
    def __init__(self, network: nn.Module, kind: str) -> None:
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, x: torch.Tensor) -> object:
        logits = self.network(x)
        return {"dict": {"out": logits}, "list": [logits], "one": logits[:, :1], "map": logits[..., None]}[self.kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("dict", "output: dict is no table"), ("list", "output: list is no"), ("one", "binary logit"), ("map", "5, 1")],
)
def test_outputs_that_are_no_class_scores_are_refused_before_the_search(kind: str, message: str) -> None:
    setting = make_setting(networks.Residual())
    network = Wrapped(setting.network, kind).eval()
    space = eagleeye.trace(network, torch.randn(1, 3, 12, 12))
    with pytest.raises(EvaluationError, match=message):
        Engine(network, space, setting.calibration, setting.sub_validation)
