"""A detector as people write them, from the trace to its files and back into its own training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ModelError
from eagleeye.forward.structures import tensors
from eagleeye.onnx_export import export_onnx
from tests.eagleeye.detector import C2f, Detector
from tests.eagleeye.networks import lively

SIZES = ((2, 3, 64, 64), (3, 3, 96, 64))


def used() -> Detector:
    """A network that has just seen pictures of the size that it is traced with: it keeps their anchors."""
    torch.manual_seed(0)
    network = Detector()
    lively(network)
    with torch.no_grad():
        network(torch.rand(SIZES[0]))
    return network


def halves(groups: int) -> list[float]:
    return [0.3] * groups


def outputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return tensors(network(x.clone()))


@pytest.fixture(scope="module")
def space() -> eagleeye.Space:
    network = used()
    found = eagleeye.trace(network, torch.rand(1, 3, 64, 64))
    assert network.detect.shape == torch.Size([2, 21, 8, 8])  # left as it was
    return found


def test_all_but_the_outputs_is_pruned_and_anchors_follow_the_size(space: eagleeye.Space) -> None:
    network = used()
    whole = eagleeye.prune(network, space, [0.0] * len(space.groups))
    for size in SIZES:
        x = torch.rand(size)
        assert all(map(torch.equal, outputs(whole, x), outputs(network, x)))
    stay = {line.split(":")[0] for line in space.left_out}
    last = {f"detect.{head}.{level}.2" for head in ("cv2", "cv3") for level in range(3)}
    assert stay == last | {"detect.dfl.conv"}


def test_the_pruned_one_meets_the_criterion_and_decodes_in_both_modes(space: eagleeye.Space) -> None:
    network = used()
    rates = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    x = torch.rand(2, 3, 64, 64)
    assert eagleeye.check(network, space, rates, x) < 1e-12
    thin = eagleeye.prune(network, space, rates)
    shapes = [tuple(each.shape) for each in outputs(network, x)]
    assert [tuple(each.shape) for each in outputs(thin, x)] == shapes
    before = thin.get_submodule("stem.0.bn").running_mean.clone()
    assert [tuple(each.shape) for each in outputs(thin.train(), x)] == shapes
    assert not torch.equal(before, thin.get_submodule("stem.0.bn").running_mean)


def test_in_place_it_still_differs_between_training_and_evaluation(space: eagleeye.Space) -> None:
    network = used()
    thin = eagleeye.prune(network, space, halves(len(space.groups)))
    strides = network.detect.stride.clone()
    eagleeye.prune(network, space, halves(len(space.groups)), inplace=True)
    for size in SIZES:
        x = torch.rand(size)
        assert all(map(torch.equal, outputs(network, x), outputs(thin, x)))
    assert torch.equal(network.detect.stride, strides)
    raw = network.train()(torch.rand(2, 3, 64, 64))
    assert [tuple(each.shape) for each in raw] == [(2, 21, 8, 8), (2, 21, 4, 4), (2, 21, 2, 2)]
    torch.stack([each.square().mean() for each in raw]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


def test_halves_of_different_widths_are_refused_in_place_with_their_line(space: eagleeye.Space) -> None:
    rates = [0.0] * len(space.groups)
    rates[space.channels.index(8, 1)] = 0.5
    with pytest.raises(ModelError, match=r"in layer 'stem\.2' at .*detector\.py:\d+ needs another number"):
        eagleeye.prune(used(), space, rates, inplace=True)


def test_with_equal_parts_every_choice_goes_in_place() -> None:
    network = used()
    space = eagleeye.trace(network, torch.rand(1, 3, 64, 64), equal_parts=True)
    rates = np.random.default_rng(1).uniform(0, 0.8, len(space.groups)).tolist()
    x = torch.rand(2, 3, 64, 64)
    assert eagleeye.check(network, space, rates, x) < 1e-12
    thin = eagleeye.prune(network, space, rates)
    eagleeye.prune(network, space, rates, inplace=True)
    assert all(map(torch.equal, outputs(network, x), outputs(thin, x)))
    widths = {len(layer.cv1.conv.weight) // 2 for layer in network.modules() if isinstance(layer, C2f)}
    assert len(widths) > 4


@pytest.mark.slow
def test_it_is_compressed_without_labels_fine_tuned_saved_loaded_and_exported(tmp_path: Path) -> None:
    network = used()
    images = torch.rand(40, 3, 64, 64)
    settings = {"calibration": 16, "sub_validation": 16, "candidates": 3, "tolerance": 0.02, "progress": False}
    found = eagleeye.compress(network, images, macs=0.5, task="fidelity", epochs=1, **settings)
    assert abs(found.cost.macs / found.full_cost.macs - 0.5) <= 0.02
    assert np.isfinite(found.score)
    assert len(found.history) == 1
    found.save(tmp_path / "detector.safetensors")
    loaded = eagleeye.load(tmp_path / "detector.safetensors")
    for size in SIZES:
        x = torch.rand(size)
        assert all(map(torch.equal, outputs(loaded, x), outputs(found.model, x)))
        assert [each.shape for each in outputs(loaded, x)] == [each.shape for each in outputs(network, x)]
    export_onnx(loaded, images[:1], tmp_path / "detector.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    exported = session.run(None, {session.get_inputs()[0].name: images[:2].numpy()})
    for mine, theirs in zip(exported, outputs(loaded, images[:2]), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-3, atol=1e-3)
