import pytest
import torch
from torch import nn

import eagleeye
from eagleeye.onnx_export import export_onnx
from eagleeye.program_export import export_program
from eagleeye.report import SavedFile


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".pt2"])
def test_the_lines_do_what_they_say(tmp_path, suffix):
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    images, texts = torch.randn(3, 3, 8, 8), {"classes": '["cat", "dog"]'}
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    network, path = eagleeye.prune(layers, eagleeye.trace(layers, images), [0.5]), tmp_path / f"pruned{suffix}"
    if suffix == ".safetensors":
        eagleeye.save(network, path, texts)
    elif suffix == ".onnx":
        export_onnx(network, images, path, texts)
    else:
        export_program(network, images, path)
    names = {"images": images}
    exec(SavedFile(path.as_posix(), 1).loading, names)  # noqa: S102
    # ONNX Runtime gives a list, of one output here.
    outputs = names["outputs"]
    found = torch.as_tensor(outputs[0] if suffix == ".onnx" else outputs)
    assert torch.allclose(found, network(images), atol=1e-5)
    assert suffix == ".pt2" or names["texts"]["classes"] == texts["classes"]


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.core = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))

    def forward(self, images):
        return {"mean": self.core(images * 2).mean((2, 3))}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt2"])
def test_the_lines_for_a_core_do_what_they_say(tmp_path, suffix):
    torch.manual_seed(0)
    images, full = torch.randn(3, 3, 8, 8), Around().eval()
    network = eagleeye.prune(full, eagleeye.trace(full, images, core="core"), [0.5])
    path = tmp_path / f"pruned{suffix}"
    if suffix == ".safetensors":
        eagleeye.save(network, path, core="core")
    else:
        export_program(network.core, images * 2, path)
    names = {"images": images, "full": Around()}
    exec(SavedFile(path.as_posix(), 1, "core").loading, names)  # noqa: S102
    found = names["outputs"]["mean"] if suffix == ".safetensors" else names["core"](images * 2).mean((2, 3))
    assert torch.allclose(found, network(images)["mean"], atol=1e-6)
    assert "core alone" in SavedFile("pruned.onnx", 1, "core").loading
