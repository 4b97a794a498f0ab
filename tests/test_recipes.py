"""The ImageNet recipes end to end: networks with 1,000 classes, real JPEG files, and no more of both than needed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.data import decode
from eagleeye.models import build
from tasks.__main__ import STAGES
from tasks.artifacts import PRUNED, RANKING, REFERENCE, RESULTS, read_table
from tasks.images import open_images, preprocess
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, run_stage

TRAIN, TEST = 12, 4  # images of each of the ten classes
SMALL = {
    "data.options": {"train": "images/train", "test": "images/val"},
    "model.options": {"num_classes": 1000},
    "subset.calibration": 32,
    "subset.sub_validation": 40,
    "strategies.count": 3,
    "evaluate.iterations": 2,
    "evaluate.batch_size": 16,
    "evaluate.vanilla": False,
    "finetune.epochs": 1,
    "finetune.batch_size": 16,
    "report.latency_repeats": 5,
    "report.latency_batch_sizes": [1],
}


def few_images(source: Path, folder: Path) -> None:
    for part, count in (("train", TRAIN), ("val", TEST)):
        for place in sorted((source / part).iterdir()):
            (folder / part / place.name).mkdir(parents=True)
            for image in sorted(place.iterdir())[:count]:
                (folder / part / place.name / image.name).symlink_to(image)


def save_trained(params: Params, path: Path) -> None:
    """The recipe's network with its last layer solved for: training takes hours, and a network at chance is refused."""
    images, _ = open_images(params)
    drawn = decode(images, None, preprocess(params))
    network = build(params.model.name, **params.model.options).train()
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    features: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    shape = params.data.preprocess
    mean, std = torch.tensor(shape.mean).view(3, 1, 1), torch.tensor(shape.std).view(3, 1, 1)
    with torch.no_grad():
        for momentum in (1.0, 0.0):  # batch statistics first, which are then kept
            for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
                norm.momentum = momentum
                norm.train(momentum > 0)
            features.clear()
            network((drawn.pixels / 255 - mean) / std)
        wanted = torch.full((len(drawn.labels), last.out_features), -1.0)
        wanted[torch.arange(len(drawn.labels)), drawn.labels] = 1.0
        x = torch.cat([features[0], torch.ones(len(wanted), 1)], 1).double()
        solved = torch.linalg.lstsq(x, wanted.double(), driver="gelsd").solution.float()
        last.weight.copy_(solved[:-1].T)
        last.bias.copy_(solved[-1])
    path.parent.mkdir()
    torch.save(network.state_dict(), path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", sorted(path.stem for path in ROOT.glob("recipes/imagenet-*.yaml")))
def test_an_imagenet_recipe_runs_end_to_end(
    recipe: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few_images(shared_data / "imagenette-mini", Path("images"))
    settings = Path("params.yaml")
    settings.write_text((ROOT / "recipes" / f"{recipe}.yaml").read_text())
    override(settings, SMALL | {"tracking.uri": f"sqlite:///{tmp_path}/mlflow.db"})
    params = read_params(settings)
    save_trained(params, Path(params.model.checkpoint))
    for stage in STAGES:
        run_stage(stage, params)
    ranking, results = read_table(RANKING), read_table(RESULTS)
    pruned = eagleeye.load(PRUNED)
    image = torch.zeros(1, 3, 224, 224)
    full = eagleeye.cost(build(params.model.name, num_classes=1000), image).macs
    share = params.strategies.budget.macs
    budget = share if share > 1 else share * full
    assert abs(eagleeye.cost(pruned, image).macs - budget) <= 0.005 * full
    assert pruned(image).shape == (1, 1000)
    assert (ranking["origin"] != REFERENCE).sum() == 3
    assert results["test_accuracy"].between(0, 1).all()
