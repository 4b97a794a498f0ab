"""MobileNetV1: against the paper's numbers."""

from collections.abc import Iterator

import pytest
import torch
import torch.fx
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from eagleeye.models import build


@pytest.fixture(autouse=True)
def shapes_alone() -> Iterator[None]:
    """Nothing here needs numbers, so nothing is computed."""
    with torch.device("meta"):
        yield


def macs(model: nn.Module, size: int) -> float:
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() / 2 / 1e6


def test_macs_and_parameters_of_the_paper() -> None:
    model = build("mobilenet_v1", num_classes=1000)
    # Table 4: 569 million multiply-adds, 4.2 million parameters.
    assert macs(model, 224) == pytest.approx(569, rel=0.01)
    assert sum(entry.numel() for entry in model.parameters()) / 1e6 == pytest.approx(4.23, abs=0.005)
    depthwise = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.groups > 1]
    assert len(depthwise) == 13
    assert all(module.groups == module.in_channels == module.out_channels for module in depthwise)


def test_width_multiplier_of_the_paper() -> None:
    model = build("mobilenet_v1", num_classes=1000, width=0.25)
    # Table 6: 41 million multiply-adds, 0.5 million parameters.
    assert macs(model, 224) == pytest.approx(41, rel=0.015)
    assert sum(entry.numel() for entry in model.parameters()) / 1e6 == pytest.approx(0.5, abs=0.05)


def test_resolutions() -> None:
    for name, size, final in (("mobilenet_v1", 224, 7), ("mobilenet_v1_cifar", 32, 2)):
        model = build(name, num_classes=10).eval()
        seen: list[torch.Size] = []
        model.layers.register_forward_hook(lambda _module, _inputs, out, seen=seen: seen.append(out.shape))
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 10)
        assert seen == [(1, 1024, final, final)]


def test_the_small_form_differs_in_the_stem_alone() -> None:
    large, small = build("mobilenet_v1", num_classes=10), build("mobilenet_v1_cifar", num_classes=10)
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (large, small)]
    assert shapes[0] == shapes[1]
    # A stem with stride 1 leaves four times the pixels to every later layer but the last.
    linear = 1024 * 10 / 1e6
    assert macs(small, 32) - linear == pytest.approx(4 * (macs(large, 32) - linear))


def test_traceable() -> None:
    traced = torch.fx.symbolic_trace(build("mobilenet_v1_cifar", num_classes=10).eval())
    assert traced(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
