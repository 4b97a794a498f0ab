"""`data.preprocess: auto`: who is believed, what is measured, and that all stages see the same."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from eagleeye.data import Preprocess
from eagleeye.errors import ArtifactError, CheckpointError, ConfigError, EvaluationError
from tasks.artifacts import BASELINE, PREPROCESS
from tasks.inputs.images import preprocess
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, Recorder, run_stage
from tests.tasks.own_data import read, trained, write_digits

SETTINGS = {
    "data.source": "imagefolder",
    "data.options": {"train": "data/train", "test": "data/val"},
    "data.preprocess": "auto",
    "model.name": "tests.tasks.networks:small",
    "subset.calibration": 100,
    "subset.sub_validation": 200,
}
IMAGENET = {"size": 32, "resize": 32, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


class Configured(nn.Sequential):
    """A network with a configuration, as timm's have."""

    pretrained_cfg: ClassVar = {
        "input_size": (3, 40, 40),
        "crop_pct": 0.8,
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
    }


def configured() -> nn.Module:
    return Configured(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def grey(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_digits(tmp_path / "data", 32)
    return tmp_path


def settings(**changes: object) -> Params:
    path = Path("params.yaml")
    path.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    override(path, SETTINGS | {key.replace("__", "."): value for key, value in changes.items()})
    return read_params(path)


def taken(params: Params, context: Recorder | None = None) -> Preprocess:
    run_stage("subset", params, context)
    assert json.loads(PREPROCESS.read_text()) | {"taken_from": ""} == json.loads(
        json.dumps(vars(preprocess(params)) | {"taken_from": ""})
    )
    return preprocess(params)


def test_without_a_checkpoint_the_training_images_are_measured(project: Path) -> None:
    context = Recorder()
    found = taken(settings(subset__calibration=100, subset__sub_validation=250), context)
    files = sorted((project / "data" / "train").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]) / 255
    assert (found.size, found.resize, found.channels) == (32, 32, 3)
    assert found.mean == pytest.approx([pixels.mean()] * 3, abs=0.02)
    assert found.std == pytest.approx([pixels.std()] * 3, abs=0.02)
    assert any("data.preprocess auto: size 32, resize 32, mean" in line for line in context.said)
    assert any("measured on 256 training images" in line for line in context.said)
    assert context.warned == []
    before = PREPROCESS.read_bytes()
    PREPROCESS.unlink()
    taken(settings(subset__calibration=100, subset__sub_validation=250))
    assert PREPROCESS.read_bytes() == before


def test_as_many_channels_as_the_network_takes_and_no_more_pixels_than_usual(project: Path) -> None:
    found = taken(settings(model__name="tests.tasks.inputs.test_preparation:grey"))
    assert found.channels == 1
    for file in (project / "data").glob("*/*/*.png"):
        Image.open(file).resize((330, 300)).save(file)
    found = taken(settings(subset__calibration=10, subset__sub_validation=20))
    assert (found.size, found.resize) == (224, 256)


def test_a_checkpoint_without_any_word_is_measured_for_and_that_is_said(project: Path) -> None:
    torch.save({"x": torch.zeros(1)}, "mine.pth")
    context = Recorder()
    assert taken(settings(model__checkpoint="mine.pth"), context).size == 32
    assert context.warned[0].startswith("nothing tells how images were prepared for mine.pth")
    assert "set data.preprocess if it was trained otherwise" in context.warned[0]


def test_metadata_come_before_timm_and_timm_before_torchvision(project: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(1)}, "mine.st", {"preprocess": json.dumps(IMAGENET)})
    torch.save({"x": torch.zeros(1)}, "mine.pth")
    own = "tests.tasks.inputs.test_preparation:configured"
    assert taken(settings(model__checkpoint="mine.st", model__name=own)) == Preprocess(32, 32)
    assert taken(settings(model__checkpoint="mine.pth", model__name=own)) == Preprocess(
        40, 50, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    )
    assert taken(settings(model__checkpoint="mine.pth", model__name="resnet18")) == Preprocess(224, 256)
    Path("mine.pth").rename("resnet50-11ad3fa6.pth")
    found = taken(settings(model__checkpoint="resnet50-11ad3fa6.pth", model__name="resnet50"))
    assert (found.size, found.resize) == (224, 232)
    assert json.loads(PREPROCESS.read_text())["taken_from"] == "torchvision's ResNet50_Weights.IMAGENET1K_V2"


def test_what_the_settings_say_is_taken_as_it_is(project: Path) -> None:
    params = settings(data__preprocess=IMAGENET, model__checkpoint="absent.pth")
    assert taken(params) == Preprocess(32, 32)
    PREPROCESS.unlink()
    assert preprocess(params) == Preprocess(32, 32)


def test_what_is_not_there_or_cannot_be_is_told(project: Path) -> None:
    params = settings(model__checkpoint="absent.pth")
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        run_stage("subset", params)
    with pytest.raises(ArtifactError, match=r"artifacts/preprocess\.json is missing: run `dvc repro`"):
        preprocess(params)
    PREPROCESS.parent.mkdir(exist_ok=True)
    PREPROCESS.write_text("{}")
    with pytest.raises(ArtifactError, match=r"artifacts/preprocess\.json is damaged"):
        preprocess(params)
    for file in (project / "data").glob("*/*/*.png"):
        Image.new("L", (32, 32)).save(file)
    with pytest.raises(ConfigError, match="images that were measured are of one colour"):
        run_stage("subset", settings())


@pytest.mark.parametrize("where", ["settings", "metadata"])
def test_far_less_than_expected_ends_the_run_before_the_search(project: Path, where: str) -> None:
    network, (x, labels) = trained(project / "data"), read(project / "data" / "train")
    right = (network(x).argmax(1) == labels).double().mean().item()
    assert 0.8 < right < 1
    # It loses a third of what it knew: still far from chance.
    with torch.no_grad():
        network[-1].bias[:4] -= 100
    texts = {"preprocess": json.dumps(IMAGENET)} | ({"test_accuracy": "95"} if where == "metadata" else {})
    safetensors.torch.save_file(network.state_dict(), "mine.safetensors", texts)
    expected = {"model__expected_accuracy": 0.95} if where == "settings" else {}
    params = settings(model__checkpoint="mine.safetensors", **expected)
    run_stage("subset", params)
    source = "model.expected_accuracy" if where == "settings" else "the metadata of mine.safetensors"
    with pytest.raises(EvaluationError, match=rf"of 200 sub-validation images, but {source} says 95\.00%") as caught:
        run_stage("baseline", params)
    assert "set model.expected_accuracy to what it is to reach" in str(caught.value)
    assert not BASELINE.exists()
    params = settings(model__checkpoint="mine.safetensors", model__expected_accuracy=0.6)
    assert run_stage("baseline", params).said[-1].startswith("baseline: ")
