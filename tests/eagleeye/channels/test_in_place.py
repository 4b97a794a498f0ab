"""In-place operations keep their meaning: whoever else holds the tensor sees them, nobody else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import eagleeye
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively

Body = Callable[["Written", Tensor], Tensor]


class Written(nn.Module):
    """A stem of 16 channels, something done to them in place, and a head of 16 channels."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.stem, self.whole, self.part, self.head = conv_bn(3, 16), conv_bn(16, 16), conv_bn(8, 8), Head(16)
        self.pos, self.act = nn.Parameter(torch.randn(1, 16, 1, 1)), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.whole(self.body(self, self.stem(x) - 0.5)))


def alias(net: Written, x: Tensor) -> Tensor:
    kept = x
    x += net.pos
    return net.whole(x) + kept


def every_operator(net: Written, x: Tensor) -> Tensor:
    kept = x
    x += 1.5
    x -= net.pos
    x *= net.whole(x)
    x /= 3
    x **= 2
    return x + kept


def several_names(net: Written, x: Tensor) -> Tensor:
    first, second = torch.split(x, 8, 1)
    second *= torch.sigmoid(first)
    first.add_(net.part(second))
    return x


def unread_slice(net: Written, x: Tensor) -> Tensor:
    x[:, :8].relu_()
    torch.relu_(x.narrow(1, 10, 4))
    net.act(x[:, 14:])
    return x


def through_a_view(net: Written, x: Tensor) -> Tensor:
    v = x.view(x.size(0), 2, 8, x.size(2), x.size(3))
    v[:, 0].mul_(2.0)
    v[:, 1] += v[:, 0]
    return x


def assigned(net: Written, x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :8] = net.part(x[:, 8:])
    y[:, 8:, 1:, :2] = 0.25
    y[..., 0] = x[..., 1]
    return y + x


def assigned_by_value(net: Written, x: Tensor) -> Tensor:
    y = x.clone()
    y[y > 0.3] = 0.0
    y[:, [1, 5]] = 1.0
    return y


def every_other(net: Written, x: Tensor) -> Tensor:
    x[:, ::2] += 1.0
    return x


def shuffled(net: Written, x: Tensor) -> Tensor:
    y = x.view(x.size(0), 2, 8, x.size(2), x.size(3)).transpose(1, 2).reshape(x.shape)
    y *= 2.0
    return y + x


def copied_before(net: Written, x: Tensor) -> Tensor:
    y = x.view(x.size(0), 2, 8, x.size(2), x.size(3)).transpose(1, 2).reshape(x.shape)
    x += 3.0
    return torch.cat([y[:, 8:], y[:, :8]], 1) * x


def into_made(net: Written, x: Tensor) -> Tensor:
    canvas = torch.zeros(x.size(0), 16, x.size(2), x.size(3), dtype=x.dtype)
    canvas[:, :8] = x[:, 8:]
    canvas[:, 8:] += 0.5
    bias = torch.linspace(0, 1, 16, dtype=x.dtype)
    bias[3] = 7.0
    return canvas + bias.view(1, -1, 1, 1) + x


def sizes(net: Written, x: Tensor) -> Tensor:
    height = kept = x.size(2)
    height += 2
    return nn.functional.interpolate(x, size=(height, kept))


def nothing_left(net: Written, x: Tensor) -> Tensor:
    whole, none = torch.split(x, [16, 0], 1)
    whole += 1.0
    return torch.cat([none, x], 1)


BODIES: tuple[Body, ...] = (
    alias, every_operator, several_names, unread_slice, through_a_view, assigned, assigned_by_value, every_other,
    shuffled, copied_before, into_made, sizes, nothing_left,
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_in_place_operations_keep_their_meaning(body: Body) -> None:
    torch.manual_seed(0)
    network, x = lively(Written(body)), torch.randn(3, 3, 8, 8)
    space = eagleeye.trace(network, x[:1])
    for rate in (0.0, 0.3, 0.5, 0.9):
        assert eagleeye.check(network, space, [rate] * len(space.groups), x) < 1e-9
    with torch.no_grad():
        torch.testing.assert_close(eagleeye.prune(network, space, [0.0] * len(space.groups))(x), network(x))


def test_slices_that_are_written_to_are_pruned_all_the_same() -> None:
    space = eagleeye.trace(Written(unread_slice).eval(), torch.randn(1, 3, 8, 8))
    assert sum(group.channels for group in space.groups if "stem.0" in group.members) == 16


def test_inputs_are_not_written_to() -> None:
    class Normalises(Written):
        def forward(self, x: Tensor) -> Tensor:
            x[:, 0].sub_(0.5)
            x /= 0.25
            return super().forward(x)

    network, x = lively(Normalises(alias)), torch.randn(2, 3, 8, 8)
    before = x.clone()
    space = eagleeye.trace(network, x)
    assert torch.equal(x, before)
    double = x.double()
    assert eagleeye.check(network, space, [0.5] * len(space.groups), double) < 1e-9
    assert torch.equal(double, before.double())
    thin = eagleeye.prune(network, space, [0.0] * len(space.groups))
    with torch.no_grad():
        out = thin(x)
        assert torch.equal(x, before)
        torch.testing.assert_close(out, network(x.clone()))


def test_operations_that_change_a_shape_in_place_are_refused_with_their_line() -> None:
    def body(net: Written, x: Tensor) -> Tensor:
        return x.transpose_(2, 3).unsqueeze_(0)[0]

    with pytest.raises(eagleeye.EagleEyeError, match=r"unsqueeze_' at .*test_in_place.py:\d+: it changes the shape"):
        eagleeye.trace(Written(body), torch.randn(1, 3, 8, 8))
