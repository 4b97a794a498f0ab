"""A torch.export file of a network, checked against the network itself before it gets its name."""

import copy
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from eagleeye.errors import ArtifactError
from eagleeye.exporting import example_of, free_axes, largest_difference, of_batch, random_call
from eagleeye.files import written_whole
from eagleeye.inputs import Call, Inputs, names_of, precision_of
from eagleeye.structures import tensors
from eagleeye.wrappers import unwrapped

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
        Largest difference of an output, relative to the largest output of its batch.

    Raises:
        ArtifactError: The network cannot be exported, the outputs differ, or the file cannot be written.
    """
    twin = copy.deepcopy(unwrapped(model)).cpu().eval()
    example = example_of(twin, example_input)
    # Rounding of 16 bits is above what separates right from wrong in float32.
    tolerance = max(TOLERANCE, 16 * torch.finfo(precision_of(twin)).eps)
    with written_whole(path) as unfinished:
        # torch.export.save wants the usual ending, or it warns.
        program = unfinished.with_name(f"{unfinished.name}.pt2")
        try:
            _export(twin, example, program, Path(path))
            difference = max(_difference(twin, batch, program) for batch in (example, random_call(example, 3)))
            program.replace(unfinished)
        finally:
            program.unlink(missing_ok=True)
        if not difference <= tolerance:
            raise ArtifactError(
                f"{path}: the program's outputs differ from the network's by {difference:.2g} of the largest (at most"
                f" {tolerance:g} is allowed): not written; use the safetensors file"
            )
    return difference


def _export(model: nn.Module, example: Call, file: Path, path: Path) -> None:
    # A batch of one would be taken for a constant.
    pair, (args, kwargs) = of_batch(example, 2), free_axes(example)
    names = names_of(model, example)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            shapes = {**dict(zip(names, args, strict=False)), **kwargs}
            program = torch.export.export(model, pair.args, pair.kwargs, dynamic_shapes=shapes)
            torch.export.save(program, file)
    except OSError:
        raise
    # The exporter runs the network's own code, and raises whatever that does not allow.
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ArtifactError(
            f"{path}: the network cannot be exported by torch.export ({reason[:200]}): use the safetensors file"
        ) from error
    finally:
        logging.disable(disabled)


def _difference(model: nn.Module, example: Call, file: Path) -> float:
    with torch.inference_mode():
        found, wanted = example.on(torch.export.load(file).module()), example.on(model)
    return largest_difference(tensors(found), tensors(wanted))
