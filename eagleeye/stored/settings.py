"""The arguments a layer of torch.nn was made with, read back from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import nn

from eagleeye.errors import ArtifactError
from eagleeye.stored.channel_layers import ChannelSelect

_IGNORED = ("device", "dtype")
_MISSING = object()


def settings_of(layer: nn.Module) -> dict[str, Any]:
    """The arguments that make a layer like this one; those that cannot be read keep their defaults.

    Args:
        layer: Of one of the classes that can be stored.

    Returns:
        Values by the names of the constructor's parameters; some are layers themselves.
    """
    special = next((read for kind, read in _SPECIAL if isinstance(layer, kind)), None)
    if special is not None:
        return special(layer)
    values = {name: getattr(layer, name, _MISSING) for name in parameters_of(type(layer))}
    if not isinstance(values.get("bias", True), bool):
        values["bias"] = values["bias"] is not None
    return {name: value for name, value in values.items() if value is not _MISSING}


def parameters_of(kind: type[nn.Module]) -> tuple[str, ...]:
    """The names of a layer's settings."""
    if issubclass(kind, nn.RNNBase):
        return tuple(_recurrent_names(kind))
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(
        p.name for p in parameters if p.kind in named and p.name not in _IGNORED and not p.name.startswith("_")
    )


def _recurrent_names(kind: type[nn.Module]) -> list[str]:
    names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
    return names + ["proj_size"] * (kind is nn.LSTM) + ["nonlinearity"] * (kind is nn.RNN)


def _recurrent(layer: Any) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in _recurrent_names(type(layer))}


def _attention(layer: Any) -> dict[str, Any]:
    names = ("embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim", "batch_first")
    given = {"bias": layer.in_proj_bias is not None, "add_bias_kv": layer.bias_k is not None}
    return {name: getattr(layer, name) for name in names} | given


def _transformer_layer(layer: Any) -> dict[str, Any]:
    activations: dict[Any, str] = {F.relu: "relu", F.gelu: "gelu"}
    if layer.activation not in activations:
        raise ArtifactError(f"its activation {layer.activation} cannot be stored; use 'relu' or 'gelu'")
    return {
        "d_model": layer.self_attn.embed_dim,
        "nhead": layer.self_attn.num_heads,
        "dim_feedforward": layer.linear1.out_features,
        "dropout": layer.dropout.p,
        "activation": activations[layer.activation],
        "layer_norm_eps": layer.norm1.eps,
        "batch_first": layer.self_attn.batch_first,
        "norm_first": layer.norm_first,
        "bias": layer.linear1.bias is not None,
    }


def _transformer_stack(layer: Any) -> dict[str, Any]:
    one = "encoder_layer" if isinstance(layer, nn.TransformerEncoder) else "decoder_layer"
    given = {one: layer.layers[0], "num_layers": layer.num_layers, "norm": layer.norm}
    more = ("enable_nested_tensor", "mask_check") if isinstance(layer, nn.TransformerEncoder) else ()
    return given | {name: getattr(layer, name) for name in more}


def _distance(layer: Any) -> dict[str, Any]:
    return {"p": layer.norm, "eps": layer.eps, "keepdim": layer.keepdim}


def _select(layer: Any) -> dict[str, Any]:
    return {"axis": layer.axis, "index": layer.index.tolist()}


_SPECIAL: tuple[tuple[Any, Callable[[Any], dict[str, Any]]], ...] = (
    (nn.RNNBase, _recurrent),
    (nn.MultiheadAttention, _attention),
    ((nn.TransformerEncoderLayer, nn.TransformerDecoderLayer), _transformer_layer),
    ((nn.TransformerEncoder, nn.TransformerDecoder), _transformer_stack),
    (nn.PairwiseDistance, _distance),
    (ChannelSelect, _select),
)
"""Layers that do not keep their arguments under the arguments' names."""
