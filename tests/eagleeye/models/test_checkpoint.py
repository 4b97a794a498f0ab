"""Checkpoints as users bring them: wrapped, prefixed, damaged, of another network."""

import argparse
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import GoogLeNet, Inception3

from eagleeye.errors import ArtifactError, CheckpointError
from eagleeye.models import build, load_checkpoint, save_checkpoint
from eagleeye.models.stored import read_stored


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
    "compiled parts": lambda state: {
        name.replace("conv.", "conv._orig_mod.").replace("bn.", "bn.module."): state[name] for name in state
    },
    "any key": lambda state: {"generator": {"best": state}, "acc": 0.9},
    "any prefix": lambda state: {"state_dict": prefixed(state, "backbone.encoder."), "optimizer": {"state": {0: {}}}},
    "average of a parallel network": lambda state: {"n_averaged": torch.tensor(3), **prefixed(state, "module.module.")},
    "counters of operations": lambda state: {**state, "total_ops": torch.zeros(1), "conv.total_ops": torch.zeros(1)},
    "records": lambda state: {
        "net": state,
        "best": np.float64(0.9),
        "losses": np.arange(3.0),
        "file": Path("x"),
        "args": argparse.Namespace(lr=0.1),
    },
    "parameters": lambda state: {name: nn.Parameter(state[name], requires_grad=False) for name in state},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_common_wrappings(tmp_path: Path, wrapping: str) -> None:
    trained = net(1)
    torch.save(WRAPPINGS[wrapping](trained.state_dict()), tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", trained)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_content_tells_the_format_not_the_name(tmp_path: Path, suffix: str) -> None:
    trained, path = net(1), tmp_path / f"net{suffix}"
    torch.save(trained.state_dict(), path)
    assert_loads(path, trained)
    safetensors.torch.save_file(trained.state_dict(), path)
    assert_loads(path, trained)


def averaged(model: nn.Module) -> dict:
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True).state_dict()


SEVERAL = {
    "timm": (lambda good, other: {"state_dict": other, "state_dict_ema": good}, "state_dict_ema", "state_dict"),
    "torchvision": (lambda good, other: {"model": other, "model_ema": averaged_of(good)}, "model_ema", "model"),
    "nested": (lambda good, other: {"model": other, "callbacks": {"EMA": {"shadow": good}}}, "EMA/shadow", "model"),
    "flat": (
        lambda good, other: {**prefixed(other, "model."), **prefixed(good, "ema_model.")},
        "ema_model.*",
        "model.*",
    ),
    "likelier": (lambda good, other: {"old": other, "state_dict": good}, "state_dict", "old"),
}


def averaged_of(state: dict) -> dict:
    model = net(5)
    model.load_state_dict(state)
    return averaged(model)


@pytest.mark.parametrize("kind", SEVERAL)
def test_of_several_the_average_or_the_likelier_is_taken_and_said(tmp_path: Path, kind: str) -> None:
    stored, taken, left = SEVERAL[kind]
    good, other = net(1), net(2)
    torch.save(stored(good.state_dict(), other.state_dict()), tmp_path / "net.pth")
    model, said = net(99), []
    load_checkpoint(model, tmp_path / "net.pth", say=said.append)
    for name, tensor in good.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(model.state_dict()[name], tensor), name
    [line] = said
    assert f"the weights {taken} are taken" in line.replace("callbacks/", "")
    assert f"not taken: {left};" in line


def test_it_is_said_in_the_log_unless_somebody_else_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"model": net(2).state_dict(), "ema": net(1).state_dict()}, tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", net(1))
    assert "the weights ema are taken, a moving average; not taken: model" in caplog.text


def test_an_average_of_parameters_alone_is_not_taken_and_that_is_said(tmp_path: Path) -> None:
    trained, said = net(1), []
    average = {name: tensor for name, tensor in net(2).state_dict().items() if "running" not in name}
    torch.save({"model": trained.state_dict(), "ema": average}, tmp_path / "net.pth")
    model = net(99)
    load_checkpoint(model, tmp_path / "net.pth", say=said.append)
    assert torch.equal(model.conv.weight, trained.conv.weight)
    assert "not taken: ema (lacks bn.running_mean, bn.running_var)" in said[0]


def test_two_that_are_equally_likely_are_refused_unless_they_are_the_same(tmp_path: Path) -> None:
    one, other = net(1).state_dict(), net(2).state_dict()
    torch.save({"student": one, "teacher": other}, tmp_path / "net.pth")
    assert "holds several sets of weights that fit: student, teacher; save" in failure(net(3), tmp_path / "net.pth")
    torch.save({"student": one, "teacher": one}, tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", net(1))


def test_entries_beside_a_prefix_are_left_out_and_said(tmp_path: Path) -> None:
    trained, model, said = net(1), net(99), []
    beside = {"criterion.weight": torch.ones(5), "train_acc.correct": torch.tensor(1)}
    torch.save({"state_dict": {**prefixed(trained.state_dict(), "model."), **beside}}, tmp_path / "net.pth")
    load_checkpoint(model, tmp_path / "net.pth", say=said.append)
    assert torch.equal(model.linear.weight, trained.linear.weight)
    assert said[0].endswith("left out, as they are not of the model: criterion.weight, train_acc.correct")
    # Under the same prefix it is another, larger network.
    torch.save({**prefixed(trained.state_dict(), "model."), "model.head.weight": torch.ones(1)}, tmp_path / "net.pth")
    assert "unexpected: head.weight" in failure(net(2), tmp_path / "net.pth")


def test_nothing_is_said_of_a_plain_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"state_dict": prefixed(net(1).state_dict(), "module.")}, tmp_path / "net.pth")
    assert_loads(tmp_path / "net.pth", net(1))
    assert caplog.text == ""


def test_a_file_that_refers_to_itself_ends(tmp_path: Path) -> None:
    stored: dict = {"epoch": 1}
    stored["again"] = stored
    torch.save(stored, tmp_path / "net.pth")
    assert "holds no state dict: found 'epoch', 'again'" in failure(net(2), tmp_path / "net.pth")


def test_programs_are_recognised(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(net(1)), tmp_path / "net.pt")
    assert "is a TorchScript program: save its weights alone" in failure(net(2), tmp_path / "net.pt")
    torch.export.save(torch.export.export(net(1).eval(), (torch.zeros(2, 3, 5, 5),)), tmp_path / "net.pt2")
    assert "is a program of torch.export: save its weights alone" in failure(net(2), tmp_path / "net.pt2")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_stand_in_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    assert "is a git-lfs pointer instead of the file: fetch it by `git lfs pull`" in failure(net(2), path)


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


@pytest.mark.parametrize("length", [0x0180, 0x8B1F])
def test_safetensors_are_told_whatever_bytes_the_length_of_their_header_has(tmp_path: Path, length: int) -> None:
    """Such a file begins with that number, and its bytes may be the mark of another kind: of a pickle, of gzip."""
    network = nn.Linear(2, 3)
    path = tmp_path / "weights.bin"
    safetensors.torch.save_file(network.state_dict(), path)
    content = path.read_bytes()
    told = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + told].rstrip(b" ")
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length, b" ") + content[8 + told :])
    other = nn.Linear(2, 3)
    load_checkpoint(other, path)
    assert torch.equal(other.weight, network.weight)


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
        assert "holds Python objects besides tensors" in (message := failure(net(2), tmp_path / "net.pt"))
        assert ("test_checkpoint.Net)" in message) != ("system)" in message)
    assert not (tmp_path / "executed").exists()


class Crafted:
    """An array of objects whose list is too short: NumPy would read what lies behind it."""

    def __reduce__(self) -> tuple:
        make, arguments, _ = np.zeros(0).__reduce__()
        return make, arguments, (1, (10**6,), np.dtype("O"), False, [1])


def test_arrays_of_a_crafted_file_are_not_made(tmp_path: Path) -> None:
    trained = net(1)
    torch.save({"net": trained.state_dict(), "losses": Crafted()}, tmp_path / "net.pt")
    assert not any(isinstance(value, np.ndarray) for value in read_stored(tmp_path / "net.pt").values())
    assert_loads(tmp_path / "net.pt", trained)


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
