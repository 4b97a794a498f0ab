"""A torch.export file of a network, checked against the network itself before it gets its name."""

from pathlib import Path

import torch
from torch import nn

from eagleeye.forward.inputs import Call, Inputs, names_of
from eagleeye.forward.structures import tensors
from eagleeye.saving.exporting import Runner, export_compared, free_axes

TOLERANCE = 1e-5


def export_program(model: nn.Module, example_input: Inputs, path: str | Path) -> float:
    """Write a network as a program of torch.export with a free batch size, and compare its outputs with the network's.

    `torch.export.load(path).module()` runs it without the code of the network or of this package. The network is left
    untouched; the file only gets its name after it was checked, on the example and on a batch of another size.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode.
        example_input: What the network takes, as in `trace`, images along the first axis of every tensor.
        path: The file to write, usually ``*.pt2``.

    Returns:
        Largest difference of an output, relative to the largest value of that output.

    Raises:
        ArtifactError: The network cannot be exported, the outputs differ, or the file cannot be written.
    """
    return export_compared(
        model,
        example_input,
        path,
        write=_export,
        read=_program,
        tolerance=TOLERANCE,
        kind="by torch.export",
        runner="the program",
    )


def _export(model: nn.Module, example: Call, unfinished: Path) -> None:
    args, kwargs = free_axes(example)
    names = names_of(model, example)
    shapes = {**dict(zip(names, args, strict=False)), **kwargs}
    with torch.no_grad():
        program = torch.export.export(model, example.args, example.kwargs, dynamic_shapes=shapes)
    # Where each operation was written: paths of this machine, which are nobody else's business.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # An open file, as torch.export would put a path's name into the content.
    with unfinished.open("wb") as file:
        torch.export.save(program, file)


def _program(unfinished: Path) -> Runner:
    with unfinished.open("rb") as file:
        module = torch.export.load(file).module()
    return lambda call: tensors(call.on(module))
