"""What can be stored and what cannot is known when a network is traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import eagleeye
from eagleeye.errors import ArtifactError
from tests.eagleeye.network_parts import Head, conv_bn


class Using(nn.Module):
    """A network that adds what a function makes of its maps."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b, self.head = conv_bn(3, 8), conv_bn(8, 6), Head(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x))
        return self.head(x + self.function(x))


STORED: dict[str, Callable[[Tensor], Any]] = {
    "linspace": lambda x: torch.linspace(0, 1, x.shape[3], dtype=x.dtype),
    "eye": lambda x: torch.eye(x.shape[2], dtype=x.dtype),
    "tensor": lambda x: torch.tensor([x.shape[2], 2.5], dtype=x.dtype).sum(),
    "empty": lambda x: torch.empty((x.shape[2], 1), dtype=x.dtype).fill_(2.0),
    "empty_like": lambda x: torch.empty_like(x).fill_(0.5),
    "new_empty": lambda x: x.new_empty((1,)).fill_(3.0),
    "new_zeros": lambda x: x.new_zeros((1, 1)) + x.new_ones(1) + x.new_full((1,), 2.0),
    "einsum": lambda x: torch.einsum("nchw,ncwv->nchv", x, x),
    "type with a type": lambda x: x.type(torch.float64).type(x.dtype),
    "as another's type": lambda x: x.double().type_as(x),
    "fft": lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:]),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True),
    "power": lambda x: 10000 ** (torch.arange(x.shape[3], dtype=x.dtype) / 100),
    "infinities": lambda x: x.masked_fill(x < float("-inf"), float("-inf")),
    "parts": lambda x: x.max(dim=3, keepdim=True).values + x.sort(dim=3)[0],
    "transposed": lambda x: x.mT,
    "softmax": lambda x: F.softmax(x.flatten(2), -1, dtype=torch.float32).view_as(x),
    "device and format": lambda x: torch.zeros(1, device=x.device) + x.contiguous(memory_format=torch.channels_last),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
}
REFUSED: dict[str, Callable[[Tensor], Any]] = {
    "as_strided": lambda x: x.as_strided(x.shape, x.stride()),
    "bincount": lambda x: torch.bincount(x.flatten().long().clamp(0, 3)).to(x.dtype)[:1],
    "histc": lambda x: torch.histc(x)[:1],
}


@pytest.mark.parametrize("function", STORED.values(), ids=STORED)
def test_what_is_made_on_the_way_is_stored(function: Callable[[Tensor], Any], tmp_path: Path) -> None:
    network, x = Using(function).eval(), torch.randn(4, 3, 12, 12)
    space = eagleeye.trace(network, x[:1])
    assert not space.unstorable
    thin = eagleeye.prune(network, space, [0.4] * len(space.groups))
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(x), thin(x))


@pytest.mark.parametrize("function", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_said_by_trace_and_save(function: Callable[[Tensor], Any], tmp_path: Path) -> None:
    network, x = Using(function).eval(), torch.randn(1, 3, 12, 12)
    with pytest.warns(UserWarning, match=r"it can be searched, but eagleeye\.save\(\) will refuse it: operation"):
        space = eagleeye.trace(network, x)
    assert space.unstorable
    thin = eagleeye.prune(network, space, [0.0] * len(space.groups))
    with pytest.raises(ArtifactError, match=r"cannot be saved: operation .*torch\.save"):
        eagleeye.save(thin, tmp_path / "thin.safetensors")
    assert not list(tmp_path.iterdir())


def test_layers_are_named() -> None:
    network = nn.Sequential(conv_bn(3, 8), conv_bn(8, 4), nn.FractionalMaxPool2d(2, output_size=3)).eval()
    with pytest.warns(UserWarning, match="layer '2'.*: a FractionalMaxPool2d cannot be stored; use layers of torch.nn"):
        eagleeye.trace(network, torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_stored(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.rnn, self.out = (
                conv_bn(3, 8),
                conv_bn(8, 6),
                kind(6, 5, bidirectional=True),
                nn.Linear(10, 4),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(self.b(self.a(x)).mean(2).permute(2, 0, 1))[0])

    network, x = Recurrent().eval(), torch.randn(4, 3, 12, 12)
    thin = eagleeye.prune(network, eagleeye.trace(network, x[:1]), [0.5])
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(x), thin(x))
