"""An ONNX file of a network, checked against the network itself before it gets its name."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.errors import ArtifactError, ConfigError
from eagleeye.exporting import example_of, free_axes, largest_difference, of_batch, random_call
from eagleeye.files import written_whole
from eagleeye.inputs import Call, Inputs, names_of, precision_of
from eagleeye.structures import places, tensors
from eagleeye.wrappers import unwrapped

TOLERANCE = 1e-3


def export_onnx(model: nn.Module, example_input: Inputs, path: str | Path) -> float:
    """Write a network as ONNX with a free batch size, and compare its outputs with PyTorch's.

    The graph's input is called ``images`` (batch, C, H, W), its output ``logits`` (batch, classes); where there are
    several, each is called by its place (``features_fine``, ``output_1``). The weights lie in the file itself. The
    network is left untouched; the file only gets its name after it was checked, on the example and on a batch of
    another size with random values.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode.
        example_input: What the network takes, as in `trace`, images along the first axis of every tensor.
        path: The file to write, usually ``*.onnx``.

    Returns:
        Largest difference of an output, relative to the largest output of its batch.

    Raises:
        ArtifactError: The network cannot be expressed in ONNX, the outputs differ, or the file cannot be
            written.
        ConfigError: onnx, onnxscript or onnxruntime are not installed.
    """
    _require_packages()
    twin = copy.deepcopy(unwrapped(model)).cpu().eval()
    example = example_of(twin, example_input)
    # Rounding of 16 bits is above what separates right from wrong in float32.
    tolerance = max(TOLERANCE, 16 * torch.finfo(precision_of(twin)).eps)
    with written_whole(path) as unfinished:
        with _quiet():
            # A batch of one would be taken for a constant.
            _export(twin, of_batch(example, 2), unfinished, Path(path))
        session = _session(unfinished, Path(path))
        differences = [_difference(twin, batch, session) for batch in (example, random_call(example, 3))]
        if not max(differences) <= tolerance:
            raise ArtifactError(
                f"{path}: onnxruntime's outputs differ from PyTorch's by {max(differences):.2g} of the "
                f"largest (at most {tolerance:g} is allowed): not written; use the safetensors file"
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


def _export(model: nn.Module, example: Call, unfinished: Path, path: Path) -> None:
    args, kwargs = free_axes(example)
    with torch.no_grad():
        outputs = example.on(model)
    single = len(example.values) == 1 and isinstance(example.values[0], Tensor)
    named = dict(zip(names_of(model, example), example.values, strict=True))
    try:
        with torch.no_grad():
            torch.onnx.export(
                _Flat(model),
                # What comes last and is a dict would be taken for keyword arguments.
                (*example.args, dict(example.kwargs)),
                unfinished,
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=["images"] if single else places(named),
                output_names=["logits"] if isinstance(outputs, Tensor) else places({"output": outputs}),
                dynamic_shapes={"args": args} | ({"kwargs": kwargs} if kwargs else {}),
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


class _Flat(nn.Module):
    """A network whose outputs are in no structure: ONNX has none."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """The network's outputs in order."""
        return tensors(self.network(*args, **kwargs))


def _session(file: Path, path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    # It has no common type of its own for operations that it lacks in a precision.
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(
            f"{path}: onnxruntime cannot run the file ({reason[:200]}): export network.float(), or use the safetensors"
            " file"
        ) from error


def _difference(model: nn.Module, example: Call, session: Any) -> float:
    names = [each.name for each in session.get_inputs()]
    given = {name: tensor.numpy() for name, tensor in zip(names, example.tensors, strict=True)}
    found = [torch.from_numpy(each) for each in session.run(None, given)]
    with torch.inference_mode():
        return largest_difference(found, tensors(example.on(model)))


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
