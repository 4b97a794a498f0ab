"""An ONNX file of a network, checked against the network itself before it gets its name."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from eagleeye.errors import ArtifactError, ConfigError
from eagleeye.files import written_whole

TOLERANCE = 1e-3


def export_onnx(model: nn.Module, example_input: torch.Tensor, path: str | Path) -> float:
    """Write a network as ONNX with a free batch size, and compare its outputs with PyTorch's.

    The graph's input is called ``images`` (batch, C, H, W), its output ``logits`` (batch, classes). The
    weights lie in the file itself. The network is left untouched; the file only gets its name after it was
    checked, on the example and on a batch of another size with random values.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode.
        example_input: Batch (n, C, H, W).
        path: The file to write, usually ``*.onnx``.

    Returns:
        Largest difference of an output, relative to the largest output of its batch.

    Raises:
        ArtifactError: The network cannot be expressed in ONNX, the outputs differ, or the file cannot be
            written.
        ConfigError: onnx, onnxscript or onnxruntime are not installed.
    """
    _require_packages()
    twin = copy.deepcopy(model).cpu().eval()
    example = example_input.detach().cpu()
    # A batch of one would be taken for a constant.
    pair = example[:1].expand(2, *example.shape[1:]).contiguous()
    with written_whole(path) as unfinished:
        with _quiet():
            _export(twin, pair, unfinished, Path(path))
        random = torch.rand(3, *example.shape[1:], generator=torch.Generator().manual_seed(0)) * 2 - 1
        differences = [_difference(twin, batch, unfinished) for batch in (example, random)]
        if not max(differences) <= TOLERANCE:
            raise ArtifactError(
                f"{path}: onnxruntime's outputs differ from PyTorch's by {max(differences):.2g} of the "
                f"largest (at most {TOLERANCE:g} is allowed): not written; use the safetensors file"
            )
    return max(differences)


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"exporting to ONNX needs the package {error.name}: pip install 'eagleeye-pruning[onnx]'"
        ) from error


def _export(model: nn.Module, batch: torch.Tensor, unfinished: Path, path: Path) -> None:
    try:
        with torch.no_grad():
            torch.onnx.export(
                model,
                (batch,),
                unfinished,
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except OSError:
        raise
    # The exporter wraps whatever went wrong inside it; its own message spans dozens of lines.
    except Exception as error:
        cause = error.__cause__ or error
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise ArtifactError(
            f"{path}: the network cannot be exported to ONNX ({reason[:200]}): use the safetensors file"
        ) from error


def _difference(model: nn.Module, batch: torch.Tensor, file: Path) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])
    with torch.inference_mode():
        wanted: torch.Tensor = model(batch)
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its progress on stdout, by warnings and by log: none of it is for the user."""
    disabled = logging.root.manager.disable
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
