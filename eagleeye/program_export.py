"""A torch.export file of a network, checked against the network itself before it gets its name."""

import copy
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole

TOLERANCE = 1e-5


def export_program(model: nn.Module, example_input: torch.Tensor, path: str | Path) -> float:
    """Write a network as a program of torch.export with a free batch size, and compare its outputs with the network's.

    `torch.export.load(path).module()` runs it without the code of the network or of this package. The network is left
    untouched; the file only gets its name after it was checked, on the example and on a batch of another size.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode.
        example_input: Batch (n, C, H, W).
        path: The file to write, usually ``*.pt2``.

    Returns:
        Largest difference of an output, relative to the largest output of its batch.

    Raises:
        ArtifactError: The network cannot be exported, the outputs differ, or the file cannot be written.
    """
    twin = copy.deepcopy(model).cpu().eval()
    example = example_input.detach().cpu()
    random = torch.rand(3, *example.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
    with written_whole(path) as unfinished:
        # torch.export.save wants the usual ending, or it warns.
        program = unfinished.with_name(f"{unfinished.name}.pt2")
        try:
            _export(twin, example, program, Path(path))
            difference = max(_difference(twin, batch, program) for batch in (example, random))
            program.replace(unfinished)
        finally:
            program.unlink(missing_ok=True)
        if not difference <= TOLERANCE:
            raise ArtifactError(
                f"{path}: the program's outputs differ from the network's by {difference:.2g} of the largest (at most"
                f" {TOLERANCE:g} is allowed): not written; use the safetensors file"
            )
    return difference


def _export(model: nn.Module, example: torch.Tensor, file: Path, path: Path) -> None:
    # A batch of one would be taken for a constant.
    pair = example[:1].expand(2, *example.shape[1:]).contiguous()
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            batch = torch.export.Dim("batch")
            torch.export.save(torch.export.export(model, (pair,), dynamic_shapes=({0: batch},)), file)
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


def _difference(model: nn.Module, batch: torch.Tensor, file: Path) -> float:
    with torch.inference_mode():
        found, wanted = torch.export.load(file).module()(batch), model(batch)
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))
