"""Which layer of torch.nn a call of `torch.nn.functional` amounts to."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
ARGUMENTS: dict[Any, tuple[str, ...]] = {
    F.conv1d: _CONVOLUTION, F.conv2d: _CONVOLUTION, F.conv3d: _CONVOLUTION,
    F.conv_transpose1d: _TRANSPOSED, F.conv_transpose2d: _TRANSPOSED, F.conv_transpose3d: _TRANSPOSED,
    F.linear: ("input", "weight", "bias"),
    F.batch_norm: ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
    F.prelu: ("input", "weight"),
}  # fmt: skip
"""The functions that a layer of torch.nn stands behind, with the names of their arguments in order."""

DROPOUTS: dict[Any, type[nn.Module]] = {
    F.dropout: nn.Dropout, F.dropout1d: nn.Dropout1d, F.dropout2d: nn.Dropout2d, F.dropout3d: nn.Dropout3d
}  # fmt: skip
"""Functions without tensors of their own whose layers follow the network's mode."""

TENSORS = ("weight", "bias", "running_mean", "running_var")
"""Arguments that are the layer's own tensors."""

CONVOLUTIONS: dict[Any, type[nn.Module]] = {
    F.conv1d: nn.Conv1d, F.conv2d: nn.Conv2d, F.conv3d: nn.Conv3d, F.conv_transpose1d: nn.ConvTranspose1d,
    F.conv_transpose2d: nn.ConvTranspose2d, F.conv_transpose3d: nn.ConvTranspose3d,
}  # fmt: skip
"""The functions that convolve, with their layers."""


Described = tuple[type[nn.Module], dict[str, Any]] | None
"""A layer's class and its arguments."""


def layer_of(function: Any, settings: dict[str, Any], tensors: dict[str, Tensor], dims: int) -> Described:
    """The layer that a call amounts to.

    Args:
        function: One of `ARGUMENTS`.
        settings: Its arguments beside tensors, by name.
        tensors: The given ones of `TENSORS`.
        dims: How many axes the input has.

    Returns:
        The layer's class and its arguments, or None where no layer does the same.
    """
    weight = tensors["weight"]
    bias = "bias" in tensors
    if function in CONVOLUTIONS:
        return CONVOLUTIONS[function], _convolution(function, settings, weight) | {"bias": bias}
    if function is F.linear:
        return nn.Linear, {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": bias}
    if function is F.batch_norm:
        return _batch_norm(settings, tensors, dims)
    if function is F.layer_norm:
        return nn.LayerNorm, {"normalized_shape": list(weight.shape), "eps": settings.get("eps", 1e-5), "bias": bias}
    if function is F.prelu:
        return (nn.PReLU, {"num_parameters": weight.numel()}) if weight.dim() == 1 else None
    sizes = {"num_groups": settings["num_groups"], "num_channels": len(weight), "eps": settings.get("eps", 1e-5)}
    return (nn.GroupNorm, sizes) if bias else None


def _convolution(function: Any, settings: dict[str, Any], weight: Tensor) -> dict[str, Any]:
    groups = settings.get("groups", 1)
    rows = weight.shape[0]
    columns = weight.shape[1] * groups
    transposed = "output_padding" in ARGUMENTS[function]
    chosen = {k: settings[k] for k in ("stride", "padding", "output_padding", "dilation", "groups") if k in settings}
    inputs, filters = (rows, columns) if transposed else (columns, rows)
    sizes = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in chosen.items()}
    return {"in_channels": inputs, "out_channels": filters, "kernel_size": tuple(weight.shape[2:])} | sizes


def _batch_norm(settings: dict[str, Any], tensors: dict[str, Tensor], dims: int) -> Described:
    if len(tensors) != len(TENSORS) or settings.get("training", False):
        return None
    kinds: dict[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    sizes = {"num_features": len(tensors["weight"]), "eps": settings.get("eps", 1e-5)}
    return kinds[dims], sizes | {"momentum": settings.get("momentum", 0.1)}
