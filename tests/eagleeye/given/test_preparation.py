"""How other libraries write down what images are to be like."""

from typing import Any

import pytest
from torch import nn
from torchvision.models import ResNet18_Weights

from eagleeye.data import Preprocess
from eagleeye.errors import ConfigError
from eagleeye.given import preprocess_of
from eagleeye.given.preparation import own_preprocess

TIMM = {"input_size": (3, 224, 224), "crop_pct": 0.875, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}


def test_forms() -> None:
    wanted = Preprocess(size=224, resize=256, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert preprocess_of(wanted) is wanted
    assert preprocess_of(TIMM) == wanted
    assert preprocess_of(ResNet18_Weights.IMAGENET1K_V1.transforms()) == Preprocess(size=224, resize=256)
    assert preprocess_of(TIMM | {"input_size": (1, 28, 28), "crop_pct": None, "mean": (0.1,), "std": (0.4,)}) == (
        Preprocess(size=28, resize=28, mean=(0.1,), std=(0.4,))
    )


def test_what_a_network_of_timm_says_of_itself() -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18", pretrained=False)
    config = timm.data.resolve_data_config(network.pretrained_cfg)
    assert own_preprocess(network) == preprocess_of(network.pretrained_cfg) == preprocess_of(config)
    assert own_preprocess(nn.Linear(1, 1)) is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"mean": (0.5,)}, "lacks input_size, mean or std; needed is"),
        (TIMM | {"input_size": (3, 224, 160)}, "only squares"),
        (lambda image: image, "a function does not tell size, mean and std"),
        (TIMM | {"std": (0.0, 1, 1)}, "std must be above 0"),
    ],
)
def test_what_does_not_tell_is_refused(source: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preprocess_of(source)
