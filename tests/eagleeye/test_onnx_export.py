import builtins
import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eagleeye import onnx_export
from eagleeye.errors import ArtifactError, ConfigError
from eagleeye.onnx_export import export_onnx

onnxruntime = pytest.importorskip("onnxruntime")
# Of the project, and of the packages it runs with.
PLACES = (str(Path(onnx_export.__file__).parents[1]), str(Path(torch.__file__).parents[1]), "stack_trace")
EXAMPLE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net():
    """A traced network as pruning leaves it, in training mode, with statistics of its own."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    )
    layers[1].running_mean.uniform_()
    return torch.fx.symbolic_trace(layers).train()


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    before = copy.deepcopy(net.state_dict())
    difference = export_onnx(net, EXAMPLE, path)
    return path, difference, before


def test_the_file_gives_the_networks_outputs_for_any_number_of_images(net, exported):
    path, difference, _ = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    twin = copy.deepcopy(net).eval()
    for count in (1, 2, 9):
        batch = torch.randn(count, 3, 8, 8)
        (found,) = session.run(["logits"], {"images": batch.numpy()})
        np.testing.assert_allclose(found, twin(batch).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert 0 <= difference < 1e-5


def test_the_file_does_not_tell_where_it_was_made(exported):
    assert not any(place.encode() in exported[0].read_bytes() for place in PLACES)


def test_the_network_is_left_in_training_with_its_statistics(net, exported):
    assert all(module.training for module in net.modules())
    for name, value in net.state_dict().items():
        assert torch.equal(value, exported[2][name])


def test_the_weights_lie_in_the_one_file(exported):
    assert [entry.name for entry in exported[0].parent.iterdir()] == ["net.onnx"]


def test_nothing_is_said(net, tmp_path, capfd, caplog):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_onnx(net, EXAMPLE, tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert not caught


def test_a_file_that_computes_something_else_does_not_get_its_name(net, tmp_path, monkeypatch):
    export = onnx_export._export

    def wrong(model, batch, unfinished, metadata):
        other = copy.deepcopy(model)
        getattr(other, "6").bias.data += 0.1
        export(other, batch, unfinished, metadata)

    monkeypatch.setattr(onnx_export, "_export", wrong)
    with pytest.raises(ArtifactError, match=r"net\.onnx: onnxruntime's outputs differ .* by 0\.\d+"):
        export_onnx(net, EXAMPLE, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_onnx_cannot_express_is_one_line(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            return x.flatten(1) if float(x.sum().item()) > 0 else x.flatten(1) * 2

    with pytest.raises(ArtifactError, match=r"^[^\n]*cannot be exported to ONNX[^\n]*safetensors file$"):
        export_onnx(Branching(), EXAMPLE, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_the_extra_to_install(net, tmp_path, monkeypatch, missing):
    real = builtins.__import__

    def without(name, *rest):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=rf"the package {missing}: pip install 'eagleeye-pruning\[onnx\]'"):
        export_onnx(net, EXAMPLE, tmp_path / "net.onnx")


def test_structures_are_named_by_their_places(tmp_path):
    class Merging(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(2, 4, 1)

        def forward(self, maps, *, scale):
            fine, coarse = self.fine(maps["fine"]) * scale, self.coarse(maps["coarse"])
            return {"sum": (fine + coarse).mean((2, 3)), "maps": [fine, coarse]}

    model, path = Merging(), tmp_path / "net.onnx"
    maps = {"fine": torch.rand(2, 3, 6, 6), "coarse": torch.rand(2, 2, 6, 6)}
    example = (maps, torch.rand(2, 1, 1, 1))
    assert export_onnx(model, example, path) < 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {"maps_fine": maps["fine"], "maps_coarse": maps["coarse"], "scale": example[1]}
    assert [each.name for each in session.get_inputs()] == list(given)
    names = ["output_sum", "output_maps_0", "output_maps_1"]
    found = session.run(names, {name: tensor.numpy() for name, tensor in given.items()})
    wanted = model(maps, scale=example[1])
    for one, other in zip(found, [wanted["sum"], *wanted["maps"]], strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_sixteen_bits_are_compared_within_their_rounding_and_others_refused_in_a_line(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    assert export_onnx(copy.deepcopy(model).half(), EXAMPLE.half(), tmp_path / "half.onnx") < 1e-2
    with pytest.raises(ArtifactError, match=r"^[^\n]*onnxruntime cannot run the file[^\n]*network\.float\(\)[^\n]*$"):
        export_onnx(copy.deepcopy(model).double(), EXAMPLE.double(), tmp_path / "double.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["half.onnx"]


def test_the_file_carries_the_texts_it_was_given(net, tmp_path):
    texts = {"classes": '["Katze", "Hündin"]', "preprocess": '{"size": 8}'}
    export_onnx(net, EXAMPLE, tmp_path / "net.onnx", texts)
    onnx = pytest.importorskip("onnx")
    assert {each.key: each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props} == texts
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == texts
