"""Files that hold a network for others to run: written, compared with the network itself, and only then named."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole
from eagleeye.forward.inputs import Call, Inputs, bind, precision_of
from eagleeye.forward.structures import tensors
from eagleeye.forward.wrappers import unwrapped

Runner = Callable[[Call], Sequence[Tensor]]
"""Runs what a file holds: the tensors of its outputs in order."""

BATCH = "batch"
"""What the free first axis is called in exported files."""


def export_compared(
    model: nn.Module,
    example_input: Inputs,
    path: str | Path,
    *,
    write: Callable[[nn.Module, Call, Path], None],
    read: Callable[[Path], Runner],
    tolerance: float,
    kind: str,
    runner: str,
) -> float:
    """Write a network to a file that runs without it, and compare the outputs of both.

    They are compared on the example and on a batch of another size with random values. The network is left untouched.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode, from a copy on the CPU.
        example_input: What the network takes, as in `trace`, images along the first axis of every tensor.
        path: The file; it only gets its name once the outputs were found equal.
        write: Writes a network to a file, given a call with a batch of two: one would be taken for a constant.
        read: Opens the file.
        tolerance: Largest difference that is allowed, relative to the largest value; more for networks of 16 bits.
        kind: What the network is exported by or to, for messages, e.g. ``to ONNX``.
        runner: Whose outputs are compared, for messages.

    Returns:
        Largest difference of an output, relative to the largest value of that output.

    Raises:
        ArtifactError: The network cannot be exported, the outputs differ, or the file cannot be written.
    """
    twin = copy.deepcopy(unwrapped(model)).cpu().eval()
    example = bind(twin, example_input).mapped(lambda tensor: tensor.detach().cpu())
    # Rounding of 16 bits is above what separates right from wrong in float32.
    allowed = max(tolerance, 16 * torch.finfo(precision_of(twin)).eps)
    with written_whole(path) as unfinished:
        try:
            with _quiet():
                write(twin, of_batch(example, 2), unfinished)
        except OSError:
            raise
        # Exporters run the network's own code, and raise, or wrap, whatever that does not allow.
        except Exception as error:
            raise ArtifactError(
                f"{path}: the network cannot be exported {kind} ({first_line(error.__cause__ or error)}): use the"
                " safetensors file"
            ) from error
        try:
            run = read(unfinished)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error
        differences = []
        for batch in (example, random_call(example, 3)):
            with torch.inference_mode():
                differences.append(largest_difference(run(batch), tensors(batch.on(twin))))
        if not max(differences) <= allowed:
            raise ArtifactError(
                f"{path}: {runner}'s outputs differ from the network's by {max(differences):.2g} of the largest"
                f" (at most {allowed:g} is allowed): not written; use the safetensors file"
            )
    return max(differences)


def first_line(error: BaseException) -> str:
    """The beginning of what an error says, or its type where it says nothing; exporters' messages span dozens."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters report their progress on stdout, by warnings and by log: none of it is for the user."""
    disabled = logging.root.manager.disable
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


def of_batch(call: Call, count: int) -> Call:
    """The same call for another number of images, which are copies of the first one.

    Args:
        call: Tensors in it have the images along their first axis, if any.
        count: Number of images.
    """

    def repeat(tensor: Tensor) -> Tensor:
        return tensor[:1].expand(count, *tensor.shape[1:]).contiguous() if tensor.dim() else tensor

    return call.mapped(repeat)


def random_call(call: Call, count: int) -> Call:
    """The same call for another number of images, of random values in [-1, 1); whole numbers stay as they are.

    Args:
        call: The example.
        count: Number of images.
    """
    source = torch.Generator().manual_seed(0)

    def draw(tensor: Tensor) -> Tensor:
        values = torch.rand(tensor.shape, generator=source) * 2 - 1
        return values.to(tensor.dtype) if tensor.is_floating_point() else tensor

    return of_batch(call, count).mapped(draw)


def free_axes(call: Call) -> tuple[tuple[object, ...], dict[str, object]]:
    """For every tensor of a call its free axis, as `torch.export` takes it."""
    axes = call.mapped(lambda tensor: {0: torch.export.Dim(BATCH)} if tensor.dim() else None)
    return axes.args, axes.kwargs


def largest_difference(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest difference of an output, relative to the largest value of that output.

    Args:
        found: Outputs of the exported network.
        wanted: Those of the network itself.
    """
    pairs = zip(found, wanted, strict=True)
    return max((_relative(one.double(), other.double()) for one, other in pairs if other.numel()), default=0.0)


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))
