"""The README's settings for one's own data and network, pasted as they stand: against torchvision alone."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from eagleeye.data import read_subset
from eagleeye.errors import ConfigError
from tasks.artifacts import SUB_VALIDATION
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, Recorder, run_stage
from tests.tasks.own_data import MEAN, STD, write_digits

LEFT_FROM_DIGITS = {"data.preprocess": {"size": 16, "resize": None, "mean": [0.305] * 3, "std": [0.376] * 3}}
FEW = {"subset.calibration": 10, "subset.sub_validation": 30, "baseline.batch_size": 20}


def pasted() -> Params:
    """The defaults, the README's sections in the place of theirs."""
    (snippet,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    before, rest = (ROOT / "params.yaml").read_text(encoding="utf-8").split("\ndata:\n")
    after = rest[rest.index("\n# Two disjoint") :]
    Path("params.yaml").write_text(f"{before}\n{snippet}{after}", encoding="utf-8")
    return read_params(Path("params.yaml"))


def changed(changes: dict[str, object]) -> Params:
    override(Path("params.yaml"), changes)
    return read_params(Path("params.yaml"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_snippet_leaves_nothing_of_the_digits(project: Path) -> None:
    params = pasted()
    defaults = read_params(ROOT / "params.yaml")
    assert params.data.preprocess == "auto"
    assert params.model_copy(update={"data": defaults.data, "model": defaults.model}) == defaults


def test_the_recipe_holds_the_snippet_and_nothing_that_comes_from_elsewhere(project: Path) -> None:
    params, recipe = pasted(), read_params(ROOT / "recipes" / "own-images.yaml")
    assert (recipe.data, recipe.model) == (params.data, params.model)
    assert recipe.importance == params.importance
    assert recipe.strategies == params.strategies


def test_the_preprocessing_of_the_digits_is_refused_before_the_search(project: Path) -> None:
    pasted()
    write_digits(project / "data", 64)
    with pytest.raises(ConfigError, match=r"data\.preprocess makes inputs of 16 pixels from images of 64"):
        run_stage("subset", changed(FEW | LEFT_FROM_DIGITS))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pasted_as_it_stands_the_network_is_as_right_as_with_torchvision(project: Path) -> None:
    params = pasted()
    write_digits(project / "data", 64)
    prepare = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    images = ImageFolder(params.data.options["train"], prepare)
    run_stage("subset", changed(FEW | {"model.checkpoint": None}))
    rows, context = read_subset(SUB_VALIDATION).rows, Recorder()
    network = solved(models.resnet50(num_classes=10), images, rows[:28])
    Path("checkpoints").mkdir()
    torch.save({"state_dict": network.state_dict(), "epoch": 1}, params.model.checkpoint)
    params = changed({"model.checkpoint": params.model.checkpoint})
    run_stage("subset", params, context)
    assert "subset: data.preprocess auto: size 224, resize 256" in context.said[0]
    assert "torchvision's ResNet50_Weights.IMAGENET1K_V1" in context.said[0]
    assert list(read_subset(SUB_VALIDATION).rows) == list(rows)
    run_stage("baseline", params, context)
    right = [image_is_right(network, *images[int(row)]) for row in rows]
    assert np.mean(right) >= 28 / 30
    said = float(context.said[-1].split()[1].rstrip("%")) / 100
    # Rounding may turn one that is undecided.
    assert said == pytest.approx(np.mean(right), abs=1.01 / len(right))
    assert context.warned == []


def image_is_right(network: nn.Module, image: Tensor, label: int) -> bool:
    with torch.no_grad():
        return int(network(image[None]).argmax()) == label


def solved(network: nn.Module, images: ImageFolder, rows: np.ndarray) -> nn.Module:
    """A network that knows some images: its statistics are theirs, its last layer is solved for."""
    x = torch.stack([images[row][0] for row in rows.tolist()])
    labels = torch.tensor([images.targets[row] for row in rows.tolist()])
    body = nn.Sequential(*list(network.children())[:-1], nn.Flatten())
    with torch.no_grad():
        for norm in (module for module in body.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.momentum = None
        body.train()(x)
        network.eval()
        features = torch.cat([body(part) for part in x.split(20)])
        wanted = 2 * nn.functional.one_hot(labels, 10).double() - 1
        mean = features.double().mean(0)
        solution = torch.linalg.lstsq(features.double() - mean, wanted, driver="gelsd").solution
        network.fc.weight.copy_(solution.T)
        network.fc.bias.copy_(-mean @ solution)
    return network
