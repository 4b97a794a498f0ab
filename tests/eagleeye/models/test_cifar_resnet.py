"""The CIFAR ResNets: against the paper's sizes and the published accuracies of the shared checkpoints."""

from pathlib import Path

import pytest
import torch
import torch.fx
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from eagleeye.data import Batches, Preprocess, decode, open_source
from eagleeye.models import build, load_checkpoint


@pytest.mark.parametrize(
    # Millions of parameters: table 6 of the paper.
    ("depth", "parameters"),
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)],
)
def test_depth_and_size(depth: int, parameters: float) -> None:
    with torch.device("meta"):
        model = build(f"cifar_resnet{depth}", num_classes=10)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    assert sum(entry.numel() for entry in model.parameters()) / 1e6 == pytest.approx(parameters, rel=0.025)


def test_macs_are_those_of_the_paper() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build("cifar_resnet20", num_classes=10).eval()(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() / 2 / 1e6 == pytest.approx(40.8, rel=0.01)


def test_an_independent_forward_pass_gives_the_same() -> None:
    torch.manual_seed(0)
    model = build("cifar_resnet20", num_classes=10).eval()
    weights = dict(model.state_dict())
    x = torch.randn(2, 3, 32, 32)

    def normalised(y: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return F.batch_norm(y, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"])

    y = F.relu(normalised(F.conv2d(x, weights["conv1.weight"], padding=1), "bn1"))
    for stage in (1, 2, 3):
        for block in range(3):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            z = F.conv2d(y, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            z = F.relu(normalised(z, f"{name}.bn1"))
            z = normalised(F.conv2d(z, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                zeros = torch.zeros(2, y.shape[1] // 2, *z.shape[2:])
                y = torch.cat([zeros, y[:, :, ::2, ::2], zeros], dim=1)
            y = F.relu(z + y)
    expected = F.linear(y.mean(dim=(2, 3)), weights["linear.weight"], weights["linear.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


def test_traceable() -> None:
    model = build("cifar_resnet20", num_classes=10).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


def correct(shared_data: Path, name: str, checkpoint: str, rows: range) -> int:
    path = shared_data / "cifar10" / "test-*.parquet"
    _, test = open_source("parquet", train=path, test=path)
    model = build(name, num_classes=len(test.classes)).eval()
    load_checkpoint(model, shared_data / "checkpoints" / checkpoint)
    batches = Batches(decode(test, rows, Preprocess()), Preprocess(), batch_size=100, device="cpu", labelled=True)
    with torch.inference_mode():
        return sum(int((model(inputs).argmax(1) == labels).sum()) for inputs, labels in batches)


CHECKPOINTS = [
    ("cifar_resnet20", "cifar10_resnet20.safetensors", 0.8808),
    ("cifar_resnet20", "resnet20-12fca82f.th", 0.8103),
    ("cifar_resnet56", "cifar10_resnet56.safetensors", 0.8971),
]


@pytest.mark.parametrize(("name", "checkpoint", "accuracy"), CHECKPOINTS)
def test_a_hundred_images_come_close_to_the_accuracy(
    shared_data: Path, name: str, checkpoint: str, accuracy: float
) -> None:
    # The standard deviation of the accuracy on 100 images is 3 to 4 points.
    assert correct(shared_data, name, checkpoint, range(100)) / 100 == pytest.approx(accuracy, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "checkpoint", "accuracy"), CHECKPOINTS)
def test_the_whole_test_set_gives_the_accuracy(shared_data: Path, name: str, checkpoint: str, accuracy: float) -> None:
    # One or two images may tip over on another kind of processor.
    assert correct(shared_data, name, checkpoint, range(10_000)) / 1e4 == pytest.approx(accuracy, abs=2.5e-4)
