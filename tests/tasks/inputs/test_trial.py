"""A network from a checkpoint, on images prepared as it was trained and otherwise: against torch alone."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from eagleeye.data import read_subset
from eagleeye.errors import ConfigError, EvaluationError, ModelError
from tasks.artifacts import BASELINE, SUB_VALIDATION
from tasks.params import Params
from tasks.settings import override, read_params
from tests.tasks.conftest import ROOT, Recorder, run_stage
from tests.tasks.networks import for_one_size
from tests.tasks.own_data import MEAN, STD, read, trained, write_digits

RIGHT = {"size": 32, "resize": None, "mean": list(MEAN), "std": list(STD)}
LEFT_FROM_DIGITS = {"size": 16, "resize": None, "mean": [0.305] * 3, "std": [0.376] * 3}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """Folders of digits of 32 pixels, and a network that was trained on them."""
    folder = tmp_path_factory.mktemp("own")
    write_digits(folder / "data", 32)
    network = trained(folder / "data")
    torch.save({"state_dict": network.state_dict()}, folder / "mine.pth")
    return folder, network


@pytest.fixture
def project(own: tuple[Path, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return own[0]


def settings(folder: Path, preprocess: dict[str, object], **changes: object) -> Params:
    options = {"train": str(folder / "data" / "train"), "test": str(folder / "data" / "val")}
    values = {"data.source": "imagefolder", "data.options": options, "model.checkpoint": str(folder / "mine.pth")}
    values |= {f"data.preprocess.{name}": value for name, value in preprocess.items()}
    values |= {"model.name": "tests.tasks.networks:small"}
    override(Path("params.yaml"), values | changes)
    return read_params(Path("params.yaml"))


def outcome(params: Params) -> str:
    run_stage("subset", params)
    return run_stage("baseline", params).said[-1]


def test_prepared_as_it_was_trained_it_is_as_right_as_in_torch(project: Path, own: tuple[Path, nn.Module]) -> None:
    params = settings(project, RIGHT, **{"subset.calibration": 50, "subset.sub_validation": 200})
    x, labels = read(project / "data" / "train")
    context = Recorder()
    run_stage("subset", params, context)
    rows = read_subset(SUB_VALIDATION).rows
    expected = (own[1](x[rows]).argmax(1) == labels[rows]).float().mean().item()
    assert expected > 0.8
    assert run_stage("baseline", params).said[-1] == f"baseline: {expected:.2%} of the sub-validation images are right"
    assert context.warned == []


def test_a_preprocessing_left_from_other_data_is_refused_and_the_right_one_named(project: Path) -> None:
    params = settings(project, LEFT_FROM_DIGITS)
    context = run_stage("subset", params)
    assert context.warned[0].startswith("data.preprocess makes inputs of 16 pixels from images of 32 (the short side")
    with pytest.raises(ConfigError) as caught:
        run_stage("baseline", params)
    assert "images as data.preprocess makes them, but on" in str(caught.value)
    assert "with size 32, resize 32" in str(caught.value)
    assert not BASELINE.exists()


def test_other_constants_alone_are_found_out(project: Path) -> None:
    wrong = {**RIGHT, "mean": [0.0] * 3, "std": [0.05] * 3}
    with pytest.raises(ConfigError, match=r"but on \d+\.\d% with mean \[.*\], std \["):
        outcome(settings(project, wrong))


def test_whoever_confirms_it_goes_on(project: Path) -> None:
    assert outcome(settings(project, LEFT_FROM_DIGITS, **{"data.confirmed": True})).startswith("baseline: ")


def test_an_untrained_checkpoint_is_refused_before_the_search(project: Path, own: tuple[Path, nn.Module]) -> None:
    folder = Path("untrained").absolute()
    folder.mkdir()
    (folder / "data").symlink_to(project / "data")
    shuffled = own[1].state_dict()
    last = list(shuffled)[-2]
    torch.save({**shuffled, last: shuffled[last].roll(1, 0)}, folder / "mine.pth")
    with pytest.raises(EvaluationError, match=r"which is chance; likely causes: .*another order of classes"):
        outcome(settings(folder, RIGHT))


def test_a_network_that_takes_other_sizes_alone_is_told_from_a_fault(
    project: Path, own: tuple[Path, nn.Module]
) -> None:
    folder = Path("fixed").absolute()
    folder.mkdir()
    (folder / "data").symlink_to(project / "data")
    torch.save(for_one_size(10).state_dict(), folder / "mine.pth")
    params = settings(folder, LEFT_FROM_DIGITS, **{"model.name": "tests.tasks.networks:for_one_size"})
    with pytest.raises(ModelError, match=r"mat1 and mat2.*: set data\.preprocess to what the network was trained with"):
        outcome(params)
