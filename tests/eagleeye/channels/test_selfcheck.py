"""A recording that is not the network is refused, by the first operation that deviates; nothing else is."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import eagleeye
from eagleeye.channels.deviation import deviation
from eagleeye.channels.probes import of_another_batch, of_another_size
from eagleeye.channels.proxies import ValueProxy
from eagleeye.errors import TraceError
from tests.eagleeye.network_parts import Head, conv_bn
from tests.eagleeye.networks import lively

Body = Callable[["Network", Tensor], Tensor]


class Network(nn.Module):
    def __init__(self, body: Body, head: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.a, self.b, self.head = body, conv_bn(3, 8), conv_bn(8, 6), head or Head(6)
        self.drop, self.memory = nn.Dropout(0.5), None

    def forward(self, x: Tensor) -> Any:
        return self.head(self.b(self.body(self, self.a(x))))


def traced(body: Body, head: nn.Module | None = None, size: int = 16) -> None:
    torch.manual_seed(0)
    eagleeye.trace(lively(Network(body, head)), torch.randn(1, 3, size, size))


def image_by_image(net: Network, x: Tensor) -> Tensor:
    return torch.stack([x[place] * (place + 1) for place in range(len(x))])


def drawn(net: Network, x: Tensor) -> Tensor:
    return x * random.random()  # noqa: S311


def by_shape(net: Network, x: Tensor) -> Tensor:
    return x * 2 if x.shape[2] < x.shape[3] else x


def remembered(net: Network, x: Tensor) -> Tensor:
    y = x if net.memory is None else x + net.memory
    net.memory = x
    return y


@pytest.mark.parametrize(
    "body, message",
    [
        (
            image_by_image,
            r"for a batch of 2.*operation 'stack' in the network's forward\(\) at .*test_selfcheck.py:\d+",
        ),
        (drawn, "on the example .*operation 'mul'"),
        (by_shape, r"for inputs of shape \[\(1, 3, 8, 16\)\].*operation 'mul'|layer 'b.0'"),
        (remembered, "when it is called again"),
        (lambda net, x: x * (time.perf_counter_ns() % 1000), "another output each time"),
    ],
)
def test_a_recording_that_is_not_the_network_is_refused(body: Body, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        traced(body)


def test_faults_of_the_recorder_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(net: Network, x: Tensor) -> Tensor:
        kept = x
        x += 1.0
        return net.drop(x) * kept

    traced(shifted)
    monkeypatch.delattr(ValueProxy, "__iadd__")
    with pytest.raises(TraceError, match=r"on the example.*operation 'mul' .*test_selfcheck.py:\d+ deviates first"):
        traced(shifted)


def test_layers_are_compared_in_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["eagleeye.channels.selfcheck"]
    build = module.build_thin

    def built_wrongly(*args: Any) -> fx.GraphModule:
        thin = build(*args)
        thin.get_submodule("a.1").momentum = 0.5
        return thin

    traced(lambda net, x: net.drop(x))
    monkeypatch.setattr(module, "build_thin", built_wrongly)
    with pytest.raises(TraceError, match="in training mode"):
        traced(lambda net, x: net.drop(x))


def test_branches_on_the_mode_are_no_deviation() -> None:
    def noisy(net: Network, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) if net.training else x

    class Auxiliary(Head):
        def forward(self, x: Tensor) -> Any:
            return (super().forward(x), x) if self.training else super().forward(x)

    traced(noisy, Auxiliary(6))


def test_networks_of_one_size_and_results_that_are_no_numbers_are_no_deviation() -> None:
    traced(lambda net, x: x, nn.Sequential(nn.Flatten(), nn.Linear(6 * 16 * 16, 5)))
    traced(lambda net, x: x + torch.ones(16, 16))
    traced(lambda net, x: (x - 5).log())
    traced(lambda net, x: x + torch.rand_like(x))


def test_probes_differ_from_the_example_in_values_batch_and_size() -> None:
    example = (torch.rand(1, 3, 32, 32), torch.tensor([[2, 4]]))
    batch, sizes = of_another_batch(example), list(of_another_size(example))
    assert batch is not None and [tuple(t.shape) for t in batch] == [(2, 3, 32, 32), (2, 2)]
    assert float(batch[0].min()) >= 0 and float(batch[0].max()) <= 1 and batch[1].dtype == torch.int64
    assert {int(value) for value in batch[1].flatten()} <= {2, 3, 4}
    assert [tuple(size[0].shape) for size in sizes] == [(1, 3, 16, 24), (1, 3, 40, 48)]
    assert of_another_batch((torch.rand(1, 3), torch.rand(2, 3))) is None


def test_deviation_is_relative_and_takes_what_is_no_number_as_equal() -> None:
    nan, inf = float("nan"), float("inf")
    assert deviation([torch.tensor([1.0, nan, inf])], [torch.tensor([1.0, nan, inf])]) == 0
    assert deviation([torch.tensor([1.0, 2.0])], [torch.tensor([1.5, 2.0])]) == pytest.approx(0.25)
    assert deviation([torch.tensor([1.0, 2.0])], [torch.tensor([nan, 2.0])]) == inf
    assert deviation([torch.tensor([1])], [torch.tensor([2])]) == deviation([], [torch.tensor([2])]) == inf


def test_refusals_name_what_is_missing_and_whether_the_network_runs() -> None:
    def by_kind(net: Network, x: Tensor) -> Tensor:
        return {Tensor: x}[type(x)]

    with pytest.raises(TraceError, match=r"recording stopped in forward\(\) at .*: KeyError .*the network itself runs"):
        traced(by_kind)
    with pytest.raises(TraceError, match=r"'gt' .* decides the control flow"):
        traced(lambda net, x: x * 2 if x.sum() > 0 else x)
    with pytest.raises(TraceError, match=r"not run on the example of shape \[\(1, 3, 16, 16\)\]"):
        traced(lambda net, x: x[:, :5])
