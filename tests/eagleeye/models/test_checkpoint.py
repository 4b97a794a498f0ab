"""Checkpoints as users bring them: wrapped, prefixed, damaged, of another network."""

import argparse
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import GoogLeNet, Inception3

from eagleeye.errors import ArtifactError, CheckpointError
from eagleeye.models import build, load_checkpoint, save_checkpoint


class Net(nn.Module):
    def __init__(self, num_classes: int = 4, width: int = 6) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.bn(self.conv(x))).mean((2, 3)))


def net(seed: int, **options: int) -> Net:
    torch.manual_seed(seed)
    model = Net(**options)
    for buffer in (model.bn.running_mean, model.bn.running_var):
        nn.init.uniform_(buffer, 0.5, 2)
    return model


def assert_loads(path: Path, expected: nn.Module) -> None:
    model = net(99)
    load_checkpoint(model, path)
    for name, tensor in expected.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(model.state_dict()[name], tensor), name


def prefixed(state: dict, prefix: str) -> OrderedDict:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


WRAPPINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best_prec1": 91.5},
    "model": lambda state: {"model": state, "optimizer": {"lr": 0.1}, "args": argparse.Namespace(lr=0.1)},
    "net": lambda state: {"net": state, "acc": 0.9},
    "nested": lambda state: {"checkpoint": 1, "model": {"state_dict": state, "epoch": 1}},
    "module.": lambda state: prefixed(state, "module."),
    "module. in state_dict": lambda state: {"state_dict": prefixed(state, "module.")},
    "_orig_mod.module.": lambda state: prefixed(state, "_orig_mod.module."),
    "module._orig_mod.": lambda state: prefixed(state, "module._orig_mod."),
    "lightning": lambda state: {"state_dict": prefixed(state, "model."), "pytorch-lightning_version": "2"},
    "without counters": lambda state: {name: state[name] for name in state if "num_batches" not in name},
    "parameters": lambda state: {name: nn.Parameter(state[name], requires_grad=False) for name in state},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_common_wrappings(tmp_path: Path, wrapping: str) -> None:
    trained = net(1)
    torch.save(WRAPPINGS[wrapping](trained.state_dict()), tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", trained)


def test_the_old_file_format(tmp_path: Path) -> None:
    trained = net(1)
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "n.tar", _use_new_zipfile_serialization=False)
    assert_loads(tmp_path / "n.tar", trained)


def test_a_prefix_that_belongs_to_the_model_stays(tmp_path: Path) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = net(1)

    trained, fresh = Wrapper(), Wrapper()
    nn.init.ones_(trained.model.conv.weight)
    for prefix in ("", "module."):
        torch.save(prefixed(trained.state_dict(), prefix), tmp_path / "n.pt")
        nn.init.zeros_(fresh.model.conv.weight)
        load_checkpoint(fresh, tmp_path / "n.pt")
        assert bool((fresh.model.conv.weight == 1).all())


def test_safetensors_there_and_back(tmp_path: Path) -> None:
    trained = net(1)
    path = tmp_path / "new" / "net.safetensors"
    save_checkpoint(trained, path)
    assert_loads(path, trained)
    assert set(safetensors.torch.load_file(path)) == set(trained.state_dict())
    first = path.read_bytes()
    save_checkpoint(trained, path)
    assert path.read_bytes() == first


def test_shared_and_strided_weights_can_be_saved(tmp_path: Path) -> None:
    trained = net(1, num_classes=6)
    trained.bn.bias = trained.bn.weight
    trained.linear.weight = nn.Parameter(trained.linear.weight.detach().t())
    save_checkpoint(trained, tmp_path / "net.safetensors")
    model = net(2, num_classes=6)
    load_checkpoint(model, tmp_path / "net.safetensors")
    assert torch.equal(model.linear.weight, trained.linear.weight)
    assert torch.equal(model.bn.bias, trained.bn.weight)


def failure(model: nn.Module, path: Path) -> str:
    """The message; and that not even a part of the weights was loaded."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_another_number_of_classes_is_said_plainly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(net(1, num_classes=1000).state_dict(), path)
    else:
        save_checkpoint(net(1, num_classes=1000), path)
    assert "was trained for 1000 classes, the model has 4 (linear.weight)" in failure(net(2), path)


def test_a_convolution_may_be_the_classifier_too(tmp_path: Path) -> None:
    save_checkpoint(build("squeezenet1_1", num_classes=5), tmp_path / "s.safetensors")
    message = failure(build("squeezenet1_1", num_classes=3), tmp_path / "s.safetensors")
    assert "was trained for 5 classes, the model has 3 (classifier.1.weight)" in message


def test_other_widths_are_not_taken_for_classes(tmp_path: Path) -> None:
    save_checkpoint(net(1, width=7), tmp_path / "net.safetensors")
    message = failure(net(2), tmp_path / "net.safetensors")
    assert "classes" not in message
    assert "wrong shape: conv.weight (7, 3, 3, 3) instead of (6, 3, 3, 3), conv.bias (7,) instead of (6,)" in message
    assert "and 4 more" in message


def test_a_difference_before_the_classifier_is_not_taken_for_classes(tmp_path: Path) -> None:
    wide, narrow = (nn.Sequential(nn.PReLU(count), nn.Linear(5, 2)) for count in (5, 1))
    save_checkpoint(wide, tmp_path / "net.safetensors")
    assert "wrong shape: 0.weight (5,) instead of (1,)" in failure(narrow, tmp_path / "net.safetensors")


def test_missing_and_unexpected_keys_are_named(tmp_path: Path) -> None:
    state = net(1).state_dict()
    del state["conv.bias"]
    state["head.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "net.pt")
    message = failure(net(2), tmp_path / "net.pt")
    assert "missing: conv.bias; unexpected: head.weight" in message
    torch.save(build("resnet18", num_classes=4).state_dict(), tmp_path / "net.pt")
    message = failure(net(2), tmp_path / "net.pt")
    assert "missing: conv.weight, conv.bias, bn.weight and 5 more; unexpected: conv1.weight" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["conv.weight", "bn.running_var"])
def test_weights_that_are_not_finite(tmp_path: Path, name: str, value: float) -> None:
    model = net(1)
    model.state_dict()[name].view(-1)[2] = value
    save_checkpoint(model, tmp_path / "net.safetensors")
    assert f"NaN or infinite weights in {name}:" in failure(net(2), tmp_path / "net.safetensors")


class Sinister:
    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def test_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for stored in (net(1), {"state_dict": net(1).state_dict(), "extra": Sinister()}):
        torch.save(stored, tmp_path / "net.pt")
        assert "holds Python objects besides tensors" in failure(net(2), tmp_path / "net.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0, 5, 0.3, 0.97])
def test_a_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(net(1).state_dict(), path)
    else:
        save_checkpoint(net(1), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    message = failure(net(2), path)
    assert "is not a whole safetensors file" in message or "is damaged, or was not written by torch.save" in message


@pytest.mark.parametrize("content", [b"hello\n" * 50, b"\x80\x04K\x01.", b"PK\x03\x04 nonsense", b"<html>404</html>"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"net{suffix}"
        path.write_bytes(content)
        failure(net(2), path)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([1, 2], "holds a list; needed is a state dict"),
        ({}, "holds no state dict: found nothing"),
        ({"epoch": 3, "optimizer": {"lr": 1}}, "holds no state dict: found 'epoch', 'optimizer'"),
        ({"state_dict": {}}, "holds no state dict: found nothing"),
        (torch.zeros(3), "holds a Tensor; needed is a state dict"),
    ],
)
def test_files_without_weights(tmp_path: Path, stored: object, message: str) -> None:
    torch.save(stored, tmp_path / "net.pt")
    assert message in failure(net(2), tmp_path / "net.pt")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "does not exist" in failure(net(1), tmp_path / "none.pth")
    assert "is not a file" in failure(net(1), tmp_path)


@pytest.mark.parametrize(("name", "network"), [("googlenet", GoogLeNet), ("inception_v3", Inception3)])
def test_published_weights_with_auxiliary_classifiers_fit_the_plain_network(
    tmp_path: Path, name: str, network: type[nn.Module]
) -> None:
    with torch.device("meta"):
        plain = set(build(name, num_classes=3).state_dict())
        full = set(network(num_classes=3, aux_logits=True, init_weights=False).state_dict())
    trained, model = net(1), net(2)
    auxiliary = {key: torch.ones(1) for key in full - plain}
    assert auxiliary
    torch.save({**trained.state_dict(), **auxiliary}, tmp_path / "net.pth")
    assert "unexpected: " in failure(model, tmp_path / "net.pth")
    model.aux_logits = False
    load_checkpoint(model, tmp_path / "net.pth")
    assert torch.equal(model.linear.weight, trained.linear.weight)


def test_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot write"):
        save_checkpoint(net(1), tmp_path / "file" / "net.safetensors")


def test_the_published_file(shared_data: Path) -> None:
    path = shared_data / "checkpoints" / "resnet20-12fca82f.th"
    model = build("cifar_resnet20", num_classes=10)
    load_checkpoint(model, path)
    stored = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(model.linear.weight, stored["module.linear.weight"])
    message = failure(build("cifar_resnet20", num_classes=100), path)
    assert "was trained for 10 classes, the model has 100" in message
    message = failure(build("cifar_resnet32", num_classes=10), path)
    assert "missing: layer1.3.conv1.weight" in message
