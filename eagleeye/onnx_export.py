"""An ONNX file of a network, checked against the network itself before it gets its name."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.errors import ArtifactError, ConfigError
from eagleeye.forward.inputs import Call, Inputs, names_of
from eagleeye.forward.structures import places, tensors
from eagleeye.saving.exporting import Runner, export_compared, first_line, free_axes

TOLERANCE = 1e-3


def export_onnx(
    model: nn.Module, example_input: Inputs, path: str | Path, metadata: Mapping[str, str] | None = None
) -> float:
    """Write a network as ONNX with a free batch size, and compare its outputs with PyTorch's.

    The graph's input is called ``images`` (batch, C, H, W), its output ``logits`` (batch, classes); where there are
    several, each is called by its place (``features_fine``, ``output_1``). The weights lie in the file itself. The
    network is left untouched; the file only gets its name after it was checked, on the example and on a batch of
    another size with random values.

    Args:
        model: Full, traced or pruned network; exported in evaluation mode.
        example_input: What the network takes, as in `trace`, images along the first axis of every tensor.
        path: The file to write, usually ``*.onnx``.
        metadata: Texts to keep in the file, its ``metadata_props``: onnxruntime gives them back as
            ``session.get_modelmeta().custom_metadata_map``.

    Returns:
        Largest difference of an output, relative to the largest value of that output.

    Raises:
        ArtifactError: The network cannot be expressed in ONNX, the outputs differ, or the file cannot be
            written.
        ConfigError: onnx, onnxscript or onnxruntime are not installed.
    """
    _require_packages()
    return export_compared(
        model,
        example_input,
        path,
        write=partial(_export, metadata=metadata or {}),
        read=_session,
        tolerance=TOLERANCE,
        kind="to ONNX",
        runner="onnxruntime",
    )


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"exporting to ONNX needs the package {error.name}: pip install 'eagleeye-pruning[onnx]'"
        ) from error


def _export(model: nn.Module, example: Call, unfinished: Path, metadata: Mapping[str, str]) -> None:
    args, kwargs = free_axes(example)
    with torch.no_grad():
        outputs = example.on(model)
    single = len(example.values) == 1 and isinstance(example.values[0], Tensor)
    named = dict(zip(names_of(model, example), example.values, strict=True))
    with torch.no_grad():
        program = torch.onnx.export(
            _Flat(model),
            # What comes last and is a dict would be taken for keyword arguments.
            (*example.args, dict(example.kwargs)),
            dynamo=True,
            verbose=False,
            input_names=["images"] if single else places(named),
            output_names=["logits"] if isinstance(outputs, Tensor) else places({"output": outputs}),
            dynamic_shapes={"args": args} | ({"kwargs": kwargs} if kwargs else {}),
        )
    assert program is not None  # by dynamo=True
    # Where each operation was written: paths of this machine, which are nobody else's business.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    program.save(unfinished, external_data=False)


class _Flat(nn.Module):
    """A network whose outputs are in no structure: ONNX has none."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """The network's outputs in order."""
        return tensors(self.network(*args, **kwargs))


def _session(file: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    # It has no common type of its own for operations that it lacks in a precision.
    except Exception as error:
        raise ArtifactError(
            f"onnxruntime cannot run the file ({first_line(error)}): export network.float(), or use the"
            " safetensors file"
        ) from error
    names = [each.name for each in session.get_inputs()]

    def run(call: Call) -> list[Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, call.tensors, strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, given)]

    return run
