"""Networks survive a round trip bit for bit; damage and malice do not get through."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

import eagleeye
from eagleeye.errors import ArtifactError
from eagleeye.models import build
from eagleeye.saving.architecture import rebuild
from tests.eagleeye.networks import CONSTRUCTS, Residual, lively


def thin_of(network: nn.Module, x: torch.Tensor, seed: int = 0) -> nn.Module:
    space = eagleeye.trace(network, x[:1])
    return eagleeye.prune(network, space, np.random.default_rng(seed).uniform(0, 0.7, len(space.groups)).tolist())


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_loads_with_the_same_outputs(construct: type[nn.Module], tmp_path: Path) -> None:
    x = torch.randn(3, 3, 12, 12)
    thin = thin_of(lively(construct()), x)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    back = eagleeye.load(tmp_path / "thin.safetensors")
    assert torch.equal(back(x), thin(x))
    assert not back.training
    assert list(back.state_dict()) == list(thin.state_dict())


def test_a_loaded_network_trains_and_saves_again(tmp_path: Path) -> None:
    x = torch.randn(8, 3, 32, 32)
    eagleeye.save(thin_of(build("cifar_resnet20", num_classes=10), x), tmp_path / "a.safetensors")
    network = eagleeye.load(tmp_path / "a.safetensors").train()
    nn.functional.cross_entropy(network(x), torch.arange(8)).backward()
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    eagleeye.save(network, tmp_path / "b.safetensors")
    assert torch.equal(eagleeye.load(tmp_path / "b.safetensors")(x), network.eval()(x))


def test_same_network_same_bytes_and_metadata_comes_back(tmp_path: Path) -> None:
    thin = thin_of(lively(Residual()), torch.randn(1, 3, 12, 12))
    for name in "ab":
        eagleeye.save(thin, tmp_path / name, {"mean": "0.5", "classes": '["a"]'})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert eagleeye.read_metadata(tmp_path / "a") == {"mean": "0.5", "classes": '["a"]'}


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    eagleeye.save(thin_of(lively(Residual()), torch.randn(1, 3, 12, 12)), tmp_path / "a")
    state = torch.get_rng_state()
    eagleeye.load(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), state)


def test_any_flipped_byte_and_any_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thin.safetensors"
    eagleeye.save(thin_of(lively(Residual()), torch.randn(1, 3, 12, 12)), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, len(whole), 60).tolist(), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(0, 7))
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"thin\.safetensors"):
            eagleeye.load(path)
    for length in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=r"thin\.safetensors"):
            eagleeye.load(path)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing or damaged"):
        eagleeye.load(tmp_path / "none.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ArtifactError, match="weights but no architecture"):
        eagleeye.load(tmp_path / "weights.safetensors")


def test_an_unpruned_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="prune with rate 0"):
        eagleeye.save(Residual(), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "node",
    [
        ["call_function", "x", "os.system", {"tuple": ["true"]}, {"dict": {}}],
        ["call_function", "x", "torch.load", {"tuple": ["file"]}, {"dict": {}}],
        ["call_function", "x", "getattr", {"tuple": [1, "__class__"]}, {"dict": {}}],
        ["call_method", "x", "__reduce__", {"tuple": []}, {"dict": {}}],
        ["call_method", "x", "relu();import os;os", {"tuple": []}, {"dict": {}}],
        ["placeholder", "x = __import__('os')", "x", {"tuple": []}, {"dict": {}}],
        ["placeholder", "x", "x=print(1)", {"tuple": []}, {"dict": {}}],
        ["call_module", "x", "missing", {"tuple": []}, {"dict": {}}],
        ["call_function", "x", "torch.relu", {"tuple": [1]}, {"dict": {"a=print()": 1}}],
        ["call_function", "x", "torch.relu", {"pickle": "gASV"}, {"dict": {}}],
    ],
)
def test_a_description_cannot_run_code(node: list[object]) -> None:
    with pytest.raises(ArtifactError):
        rebuild({"nodes": json.loads(json.dumps([node])), "layers": {}, "tensors": {}}, "Network", {})


def test_a_description_cannot_name_other_classes() -> None:
    with pytest.raises(ArtifactError, match="'Popen' is no layer"):
        rebuild({"nodes": [["output"]], "layers": {"a": ["Popen", {}]}, "tensors": {}}, "Network", {})


@pytest.mark.parametrize("name", ["cifar_resnet20", "mobilenet_v1_cifar"])
def test_whole_networks_load_with_the_same_bits(name: str, tmp_path: Path) -> None:
    x = torch.randn(16, 3, 32, 32)
    thin = thin_of(lively(build(name, num_classes=10)), x)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    back = eagleeye.load(tmp_path / "thin.safetensors")
    with torch.inference_mode():
        assert torch.equal(back(x), thin(x))
    assert all(tensor.data_ptr() % 64 == 0 for tensor in back.state_dict().values())


class NormWithActivation(nn.BatchNorm2d):
    """A norm that is also a container, with a tensor of its own, as model zoos write it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act, self.gain = nn.ReLU(), nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)
        return self.act(x) * self.gain


def test_what_the_network_uses_apart_is_no_part_of_the_layer_that_holds_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), NormWithActivation(6), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(256, 3)
    )
    x = torch.randn(2, 3, 12, 12)
    thin = thin_of(network.eval(), x)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(x), thin(x))
