"""Networks on what their users give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from eagleeye.errors import EvaluationError
from eagleeye.forward.running import images_in, is_full, run


def test_a_full_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_full(caught.value)
    assert is_full(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_full(MemoryError())
    assert is_full(RuntimeError("could not create a primitive"))
    assert not is_full(RuntimeError("could not create a primitive descriptor for a convolution forward propagation"))
    assert not is_full(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_full(ValueError("cannot allocate memory"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_inputs_are_brought_to_the_precision_of_the_weights(dtype: torch.dtype) -> None:
    network, batch = nn.Conv2d(3, 2, 1).to(dtype), torch.rand(2, 3, 4, 4)
    assert torch.equal(run(network, batch), network(batch.to(dtype)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            torch.rand(2, 1, 4, 4),
            r"Conv2d: it cannot run on a batch of \(2, 1, 4, 4\): .*3 channels, but got 1",
        ),
        ((torch.rand(2, 3, 4, 4), torch.tensor([0, 1])), r"batch of \(2, 3, 4, 4\), \(2,\): .*takes 2 positional"),
        ([torch.rand(2, 3, 4, 4)], r"batch of \(2, 3, 4, 4\): .*got \(list,"),
    ],
)
def test_what_a_network_does_not_take_is_said_in_a_line(batch: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        run(nn.Conv2d(3, 2, 1), batch)
    assert "\n" not in str(caught.value)


def test_a_full_memory_stays_what_it_is() -> None:
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.new_empty(2**50)

    with pytest.raises(RuntimeError, match="allocate memory"):
        run(Greedy(), torch.rand(1))


def test_images_are_counted_along_the_first_tensor() -> None:
    assert images_in({"a": [torch.rand(3, 2)], "b": torch.rand(3)}) == images_in(torch.rand(3)) == 3
    for batch in ({"a": 1}, torch.tensor(1.0)):
        with pytest.raises(EvaluationError, match="without images"):
            images_in(batch)
