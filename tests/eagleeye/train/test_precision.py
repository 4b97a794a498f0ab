import pytest
import torch
from torch import nn

from eagleeye.forward import kernels
from eagleeye.train import DecodedData, Recipe, train
from eagleeye.train.distributed import Share
from eagleeye.train.precision import autocast_type, spare_slow_layers


@pytest.fixture(params=[True, False])
def multiplies(request, monkeypatch):
    """CPUs with and without bfloat16, on whichever runs the tests (they emulate it)."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: request.param)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(kernels, "_onednn_uses_them", lambda: True)
    return request.param


class Depthwise(nn.Module):
    """One convolution of every kind, named after it."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.strided = nn.Conv2d(8, 8, 3, stride=(1, 2), padding=1, groups=8)
        self.wide = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.grouped = nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=4)
        self.one = nn.Conv2d(1, 1, 5, stride=2, padding=2)
        self.linear = nn.Linear(64, 2)

    def forward(self, x):
        x = self.grouped(self.wide(self.strided(self.depthwise(self.plain(x)))))
        self.one(x[:, :1])
        return self.linear(nn.functional.adaptive_avg_pool2d(x, (4, 2)).flatten(1))


def types_in_training(model, data, validation, recipe):
    """The type of every layer's outputs in the last training step, by name."""
    found = {}

    def look(name):
        def hook(module, inputs, output):
            if model.training:
                found[name] = output.dtype

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in model.named_children()]
    train(model, data, validation, recipe, device="cpu")
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("wanted", [True, False])
def test_layers_compute_in_bfloat16_where_it_pays(images, preprocess, multiplies, wanted):
    data = DecodedData(images, preprocess, "cpu")
    validation = list(data.batches(Recipe(1), 0, Share()))
    torch.manual_seed(0)
    model = Depthwise()
    found = types_in_training(model, data, validation, Recipe(1, 32, mixed_precision=wanted))
    exact = {"strided", "wide"} if wanted and multiplies else set(found)
    assert {name for name, dtype in found.items() if dtype == torch.float32} == exact
    assert {dtype for name, dtype in found.items() if name not in exact} <= {torch.bfloat16}
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def test_the_teacher_computes_in_the_types_and_the_format_of_the_network(images, preprocess, multiplies):
    data = DecodedData(images, preprocess, "cpu")
    torch.manual_seed(0)
    model, teacher = Depthwise(), Depthwise()
    found = {}

    def look(module, inputs, output):
        channels_last = module.weight.is_contiguous(memory_format=torch.channels_last)
        found.update(dtype=output.dtype, channels_last=channels_last, gradient=output.requires_grad)

    teacher.plain.register_forward_hook(look)
    validation = list(data.batches(Recipe(1), 0, Share()))
    train(model, data, validation, Recipe(1, 32, distillation=0.5), device="cpu", teacher=teacher)
    wanted = torch.bfloat16 if multiplies else torch.float32
    assert found == {"dtype": wanted, "channels_last": True, "gradient": False}
    assert teacher.plain.weight.is_contiguous()
    assert teacher.plain.weight.dtype == torch.float32


def test_no_hook_is_left_after_training(images, preprocess, multiplies):
    data = DecodedData(images, preprocess, "cpu")
    model = Depthwise()
    train(model, data, list(data.batches(Recipe(1), 0, Share())), Recipe(1, 32), device="cpu")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_autocast_is_on_again_after_an_error():
    model = Depthwise()
    hooks = spare_slow_layers(model, torch.device("cpu"))
    assert len(hooks) == 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(RuntimeError, match="channels"):
            model.wide(torch.zeros(1, 3, 8, 8))
        assert model.plain(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16


def test_a_gpu_spares_no_layer():
    assert not spare_slow_layers(Depthwise(), torch.device("cuda"))


@pytest.mark.parametrize(("supported", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_takes_bfloat16_where_it_is_not_emulated(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert autocast_type(torch.device("cuda")) == expected
