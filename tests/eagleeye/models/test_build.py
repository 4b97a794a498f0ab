"""Networks by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from eagleeye.errors import ModelError
from eagleeye.models import build, names


@pytest.fixture(autouse=True)
def shapes_alone() -> Iterator[None]:
    """Nothing here needs numbers, so nothing is computed."""
    with torch.device("meta"):
        yield


def outputs(model: nn.Module, size: int) -> torch.Tensor:
    return model.eval()(torch.zeros(2, 3, size, size))


@pytest.mark.parametrize(
    ("name", "size"),
    [("cifar_resnet20", 32), ("mobilenet_v1_cifar", 32), ("resnet18", 32), ("mobilenet_v3_small", 32)],
)
def test_as_many_outputs_as_classes(name: str, size: int) -> None:
    model = build(name, num_classes=7)
    assert model.training
    assert outputs(model, size).shape == (2, 7)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 32), ("inception_v3", 75)])
def test_auxiliary_classifiers_are_left_out_unless_wanted(name: str, size: int) -> None:
    model = build(name, num_classes=3)
    assert model(torch.zeros(2, 3, size, size)).shape == (2, 3)
    if name == "googlenet":
        assert build(name, num_classes=3, aux_logits=True).aux1 is not None


def test_names_are_those_of_networks_that_can_be_followed_whole() -> None:
    known = names()
    assert len(set(known)) == len(known)
    assert {"cifar_resnet110", "mobilenet_v1", "resnet50", "vgg16_bn", "densenet121", "fcn_resnet50"} <= set(known)
    assert not {"fasterrcnn_resnet50_fpn", "raft_large", "r3d_18"} & set(known)


def test_torchvisions_segmentation_networks_fetch_no_backbone() -> None:
    network = build("lraspp_mobilenet_v3_large", num_classes=3).eval()
    assert network(torch.zeros(1, 3, 32, 32))["out"].shape == (1, 3, 32, 32)


def test_a_factory_that_knows_its_outputs_is_left_to_it() -> None:
    assert build(f"{__name__}:two", num_classes=None)(torch.zeros(1, 3)).shape == (1, 2)
    with pytest.raises(ModelError, match="where the data have no classes, give it among the model's options"):
        build("resnet18", num_classes=None)


def two(num_classes: int = 2) -> nn.Module:
    return nn.Linear(3, num_classes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet51"}, "unknown model 'resnet51'; close names: resnet5"),
        ({"name": "cifar_resnet21"}, "close names: cifar_resnet"),
        ({"name": "zzz"}, "unknown model 'zzz'; close names: cifar_resnet20"),
        ({"name": "fasterrcnn_resnet50_fpn"}, "unknown model 'fasterrcnn_resnet50_fpn'"),
        ({"name": "resnet18", "num_classes": 0}, "num_classes must be a whole number from 1; got 0"),
        ({"name": "resnet18", "num_classes": "10"}, "num_classes must be a whole number from 1; got '10'"),
        ({"name": "resnet18", "colour": 1}, "model resnet18 cannot be built: TypeError"),
        ({"name": "cifar_resnet20", "colour": 1}, "model cifar_resnet20 cannot be built: TypeError"),
    ],
)
def test_errors_name_the_culprit(arguments: dict, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(**{"num_classes": 10, **arguments})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


OWN = """
from torch import nn

def small(num_classes, width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))

def seven(width=4):
    return small(7, width)

def anything(**options):
    return small(**options)

class Small(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(*small(num_classes))

def broken(num_classes):
    raise ZeroDivisionError("width\\nis zero")

def state(num_classes):
    return small(num_classes).state_dict()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_model_module.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_model_module"


def test_a_factory_of_ones_own(own: str) -> None:
    model = build(f"{own}:small", num_classes=5, width=9)
    assert outputs(model, 8).shape == (2, 5)
    assert model[0].out_channels == 9


@pytest.mark.parametrize(("name", "classes"), [("seven", 7), ("anything", 5), ("Small", 5)])
def test_a_factory_is_told_the_classes_if_it_asks_for_them(own: str, name: str, classes: int) -> None:
    assert outputs(build(f"{own}:{name}", num_classes=5), 8).shape == (2, classes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "broken cannot be built: ZeroDivisionError: width is zero"),
        ("state", "state returned a OrderedDict; needed is a torch.nn.Module"),
        ("absent", "'absent' is missing in"),
    ],
)
def test_what_can_go_wrong_in_it(own: str, name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(f"{own}:{name}", num_classes=5)
    assert message in str(caught.value)
    assert own in str(caught.value)
