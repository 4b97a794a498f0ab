"""Networks of torchvision for other tasks than classification, random weights: from the trace to every file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.models import segmentation

import eagleeye
from eagleeye.forward.structures import tensors
from eagleeye.onnx_export import export_onnx
from eagleeye.task.fidelity import relative_distance
from eagleeye.task.named import TASKS
from tests.eagleeye.networks import lively


class Restorer(nn.Module):
    """A U-Net without normalisation, which adds what is missing to its input."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.deep, self.up = nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.last, self.head = nn.Conv2d(2 * width, width, 3, padding=1), nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x).relu()
        up = self.up(self.deep(self.down(first).relu()).relu())
        return x + self.head(self.last(torch.cat([first, up], 1)).relu())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "auxiliary"),
    [
        ("lraspp_mobilenet_v3_large", None),
        ("deeplabv3_mobilenet_v3_large", False),
        ("deeplabv3_resnet50", False),
        ("fcn_resnet50", False),
        ("fcn_resnet50", True),
    ],
)
def test_segmenters_of_torchvision_are_pruned_scored_and_written(
    name: str, auxiliary: bool | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    options = {} if auxiliary is None else {"aux_loss": auxiliary}
    build = getattr(segmentation, name)
    network = lively(build(weights=None, weights_backbone=None, num_classes=4, **options))
    x = torch.rand(4, 3, 32, 32)
    space = eagleeye.trace(network, x[:1])
    half = eagleeye.even(space, eagleeye.Budget(macs=0.5, tolerance=0.05))
    assert eagleeye.check(network, space, half, x[:1]) < 1e-12
    # Refitting layers of a thousand inputs takes minutes, and is tested elsewhere.
    engine = eagleeye.Engine(network, space, x, x, task=TASKS["fidelity"], method=eagleeye.Method(precision="float32"))
    thin = engine.network(half)
    assert abs(eagleeye.cost(thin, x[:1]).macs / space.full_cost.macs - 0.5) <= 0.05
    with torch.no_grad():
        wanted, found = network(x), thin(x)
    assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in wanted.items()}
    assert ("aux" in found) == bool(auxiliary)
    ranking = eagleeye.search(engine, [half])
    assert ranking["distance"][0] == pytest.approx(float(relative_distance(found, wanted).mean()), rel=1e-3)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    loaded = eagleeye.load(tmp_path / "thin.safetensors")
    with torch.no_grad():
        assert all(map(torch.equal, tensors(loaded(x)), tensors(found)))
    assert export_onnx(loaded, x[:1], tmp_path / "thin.onnx") < 1e-3
    session = onnxruntime.InferenceSession(tmp_path / "thin.onnx")
    exported = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert len(exported) == len(found)
    np.testing.assert_allclose(exported[0], found["out"].numpy(), rtol=1e-2, atol=1e-3)


def test_a_restorer_without_normalisation_is_compressed_by_its_errors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Restorer().eval()
    x = torch.randn(64, 1, 16, 16)
    pairs = TensorDataset(x, x)  # a pair of such tensors would be calibration and sub-validation images
    found = eagleeye.compress(
        network, pairs, macs=0.5, task="regression", candidates=4, tolerance=0.05, epochs=1, progress=False
    )
    assert (found.scored_by, found.full_metrics.keys()) == ("error", {"mean absolute error", "R²"})
    assert abs(found.cost.macs / found.full_cost.macs - 0.5) <= 0.05
    found.save(tmp_path / "restorer.safetensors")
    with torch.no_grad():
        assert torch.equal(eagleeye.load(tmp_path / "restorer.safetensors")(x), found.model(x))
        assert found.model(x).shape == x.shape
