"""Every recipe end to end, on a few of the real images; those for ImageNet with networks for 1,000 classes."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.data import decode
from eagleeye.models import build
from tasks.__main__ import STAGES
from tasks.artifacts import PRUNED, RANKING, RESULTS, STRATEGIES, read_table
from tasks.inputs.images import open_images, preprocess
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, changed, run_stage

SMALL = {
    "strategies.count": 3,
    "evaluate.batch_size": 16,
    "finetune.epochs": 1,
    "finetune.batch_size": 16,
    "report.latency_repeats": 5,
    "report.latency_batch_sizes": [1],
}
CIFAR = {
    "data.options": {"train": "images/train.parquet", "test": "images/test.parquet"},
    "subset.sub_validation": 200,
}
IMAGENET = {
    "data.options": {"train": "images/train", "test": "images/val"},
    "model.options": {"num_classes": 1000},
    "subset.calibration": 32,
    "subset.sub_validation": 40,
    "evaluate.vanilla": False,
}
PUBLISHED = sorted(path.stem for path in ROOT.glob("recipes/imagenet-*.yaml") if "refitted" not in path.stem)
RUN = ["imagenet-resnet50-2g", "imagenet-mobilenetv1-50-refitted"]
OURS = {
    "strategies": {"allocated": True},
    "importance": {"criterion": "obs", "refit": True},
    "evaluate": {"mode": "reset", "vanilla": False},
    "finetune": {"distillation": 0.5},
}
IN_FOLDER = {"train": 12, "val": 4}  # images of each of the ten classes
IN_FILE = {"train": 600, "test": 100}


def few_folders(source: Path, folder: Path) -> None:
    for part, count in IN_FOLDER.items():
        for place in sorted((source / part).iterdir()):
            (folder / part / place.name).mkdir(parents=True)
            for image in sorted(place.iterdir())[:count]:
                (folder / part / place.name / image.name).symlink_to(image)


def few_rows(source: Path, folder: Path) -> None:
    folder.mkdir()
    for part, count in IN_FILE.items():
        [path] = source.glob(f"{part}-*.parquet")
        pq.write_table(pq.read_table(path).slice(0, count), folder / f"{part}.parquet")


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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(recipe: str, changes: Mapping[str, object]) -> Params:
    file = Path("params.yaml")
    file.write_text((ROOT / "recipes" / f"{recipe}.yaml").read_text())
    override(file, SMALL | changes | {"tracking.uri": f"sqlite:///{Path.cwd()}/mlflow.db"})
    return read_params(file)


def run_and_check(params: Params, classes: int, side: int) -> None:
    for stage in STAGES:
        run_stage(stage, params)
    ranking, results, pruned = read_table(RANKING), read_table(RESULTS), eagleeye.load(PRUNED)
    image = torch.zeros(1, 3, side, side)
    full = eagleeye.cost(build(params.model.name, num_classes=classes), image).macs
    share = params.strategies.budget.macs
    assert abs(eagleeye.cost(pruned, image).macs - (share if share > 1 else share * full)) <= 0.005 * full
    assert pruned(image).shape == (1, classes)
    assert (ranking["origin"] == params.strategies.sampler).sum() == 3
    assert ("allocated" in set(ranking["origin"])) == params.strategies.allocated
    assert results["test_accuracy"].between(0, 1).all()


def with_checkpoint(recipe: str, shared_data: Path, project: Path) -> Params:
    few_folders(shared_data / "imagenette-mini", project / "images")
    batches = {"evaluate.iterations": 2} if recipe in PUBLISHED else {}
    params = settings_of(recipe, IMAGENET | batches)
    save_trained(params, Path(params.model.checkpoint))
    return params


# One network by the published way, and one by ours.
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", RUN)
def test_an_imagenet_recipe_runs_end_to_end(recipe: str, shared_data: Path, project: Path) -> None:
    run_and_check(with_checkpoint(recipe, shared_data, project), classes=1000, side=224)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted({*PUBLISHED} - {*RUN}))
def test_an_imagenet_recipe_draws_candidates_that_meet_its_budget(
    recipe: str, shared_data: Path, project: Path
) -> None:
    params = with_checkpoint(recipe, shared_data, project)
    for stage in ("subset", "baseline", "strategies"):
        run_stage(stage, params)
    full = eagleeye.cost(build(params.model.name, num_classes=1000), torch.zeros(1, 3, 224, 224)).macs
    share = params.strategies.budget.macs
    drawn = read_table(STRATEGIES).query("origin != 'even'")
    assert len(drawn) == 3
    assert ((drawn["macs"] - (share if share > 1 else share * full)).abs() <= 0.005 * full).all()


@pytest.mark.parametrize("recipe", ["imagenet-resnet50-2g", "imagenet-mobilenetv1-50"])
def test_a_refitted_recipe_is_the_published_one_but_for_what_is_ours(recipe: str, project: Path) -> None:
    published, ours = settings_of(recipe, {}), settings_of(f"{recipe}-refitted", {})
    assert published.evaluate.mode == "paper"
    assert (published.importance.criterion, published.importance.refit) == ("l1", False)
    assert ours == changed(published, **OURS)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet20", "resnet56"])
def test_a_cifar_recipe_runs_end_to_end(network: str, shared_data: Path, project: Path) -> None:
    few_rows(shared_data / "cifar10", project / "images")
    checkpoint = shared_data / "checkpoints" / f"cifar10_{network}.safetensors"
    run_and_check(settings_of(f"cifar10-{network}", CIFAR | {"model.checkpoint": str(checkpoint)}), classes=10, side=32)
