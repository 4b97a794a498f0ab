"""Layers as data: their class and settings. What is built from them is the same layer, or it is refused."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eagleeye.errors import ArtifactError
from eagleeye.stored import channel_layers
from eagleeye.stored.limits import check_settings
from eagleeye.stored.settings import parameters_of, settings_of
from eagleeye.stored.values import DEEPEST, decode, encode

_CHANNEL_LAYERS = {
    cls.__name__: cls
    for cls in (
        channel_layers.ChannelPad, channel_layers.ChannelSelect, channel_layers.ChannelSlice, channel_layers.Reshape
    )
}  # fmt: skip

_NAMES = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d
    AlphaDropout AvgPool1d AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU ChannelShuffle
    CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Conv1d Conv2d Conv3d
    ConvTranspose1d ConvTranspose2d ConvTranspose3d CosineSimilarity CrossMapLRN2d Dropout Dropout1d Dropout2d Dropout3d
    ELU Embedding FeatureAlphaDropout Flatten Fold GELU GLU GRU GRUCell GroupNorm Hardshrink Hardsigmoid Hardswish
    Hardtanh Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d LPPool1d LPPool2d LPPool3d LSTM LSTMCell LayerNorm
    LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d
    MaxUnpool3d Mish MultiheadAttention PReLU PairwiseDistance PixelShuffle PixelUnshuffle RMSNorm RNN RNNCell RReLU
    ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU
    SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold
    TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Unflatten Unfold Upsample
    UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
"""
LAYERS = frozenset(_NAMES.split())
_NOT_COMPARED = ("training", "_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs")


def describe_layer(layer: nn.Module, apart: Collection[str] = ()) -> list[Any]:
    """A layer's class and settings as JSON-ready data.

    Args:
        layer: Any module.
        apart: Names of tensors and layers inside it that the network uses on its own: they are no part of the layer.

    Returns:
        What `build_layer` takes.

    Raises:
        ArtifactError: It cannot be stored, or what was built from the data would differ from it.
    """
    kind = type(layer).__name__
    if layer_class(kind) is not type(layer):
        raise ArtifactError(f"a {kind} cannot be stored; use layers of torch.nn instead")
    settings = settings_of(layer)
    described = {
        key: {"layer": describe_layer(value)} if isinstance(value, nn.Module) else encode(value)
        for key, value in settings.items()
    }
    built = build_layer(kind, described)
    difference = _difference(layer, built, apart)
    if difference:
        raise ArtifactError(f"a {kind} {difference} cannot be stored")
    return [kind, described]


def build_layer(kind: Any, settings: Any, tensors: Sequence[str] | None = None, depth: int = DEEPEST) -> nn.Module:
    """A layer made from data, its tensors still without values (`meta` device).

    Args:
        kind: Name of its class.
        settings: Arguments of its constructor.
        tensors: The names of the tensors that there are for it; none where it is not from a file.
        depth: How deep layers may be nested in settings.

    Returns:
        The layer.

    Raises:
        ArtifactError: There is no such layer, or it asks for more than there is.
    """
    cls = layer_class(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ArtifactError(f"{str(kind)[:40]!r} is no layer of torch.nn")
    if depth == 0 or not isinstance(settings, dict):
        raise ArtifactError(f"a {kind} has no such settings")
    unknown = settings.keys() - set(parameters_of(cls))
    if unknown:
        raise ArtifactError(f"a {kind} has no setting {min(unknown)[:40]!r} in torch {torch.__version__}")
    decoded = {key: _setting(value, tensors, depth) for key, value in settings.items()}
    if tensors is not None:
        check_settings(cls.__name__, decoded)
        if isinstance(count := decoded.get("num_layers"), int) and count > len(tensors):
            raise ArtifactError(f"a {kind} of {count} layers has {len(tensors)} tensors")
    try:
        with torch.device("cpu" if kind in _CHANNEL_LAYERS else "meta"), warnings.catch_warnings():
            # What it has to say was said when the network was made.
            warnings.simplefilter("ignore")
            layer: nn.Module = cls(**decoded)
    # Whatever a constructor raises about settings that are none.
    except Exception as error:
        raise ArtifactError(f"a {kind} cannot be made of its settings ({_first_line(error)})") from error
    return layer


def layer_class(kind: str) -> type[nn.Module] | None:
    """The class of a layer that can be stored, None for any other."""
    if kind == "StochasticDepth":
        from torchvision.ops import StochasticDepth

        layer: type[nn.Module] = StochasticDepth
        return layer
    if kind in _CHANNEL_LAYERS:
        return _CHANNEL_LAYERS[kind]
    return getattr(nn, kind) if kind in LAYERS else None


def _setting(value: Any, tensors: Sequence[str] | None, depth: int) -> Any:
    if isinstance(value, dict) and value.keys() == {"layer"}:
        inner = value["layer"]
        if isinstance(inner, list) and len(inner) == 2:
            return build_layer(inner[0], inner[1], tensors, depth - 1)
    return decode(value, {})


def _difference(layer: nn.Module, built: nn.Module, apart: Collection[str] = ()) -> str:
    """In what a layer differs from the one that was built from its settings, "" if in nothing."""
    if type(layer) is not type(built):
        return f"with a {type(layer).__name__} inside"
    if any(getattr(layer, name) for name in vars(built) if name.endswith("_hooks")):
        return "with hooks"
    for name, value in vars(built).items():
        if name not in _NOT_COMPARED and not _equal(vars(layer).get(name), value):
            return f"with the setting '{name}' {vars(layer).get(name)!r}"
    shadowed = [name for name in vars(layer).keys() - vars(built).keys() if hasattr(type(layer), name)]
    if shadowed:
        return f"with its own '{shadowed[0]}'"
    if [entry for entry in _shapes(layer) if entry[0] in _names(built) or entry[0] not in apart] != _shapes(built):
        return "with other tensors than its settings say"
    return _difference_inside(layer, built, apart)


def _difference_inside(layer: nn.Module, built: nn.Module, apart: Collection[str]) -> str:
    inside = {name: own for name, own in layer._modules.items() if name in built._modules or name not in apart}
    if list(inside) != list(built._modules):
        return "with other layers inside"
    for own, other in zip(inside.values(), built._modules.values(), strict=True):
        if (own is None) != (other is None):
            return "with other layers inside"
        if own is not None and other is not None and (difference := _difference(own, other)):
            return difference
    return ""


def _equal(one: Any, other: Any) -> bool:
    # By their words, too: what is not a number equals nothing.
    return not isinstance(one, Tensor) and (one is other or bool(one == other) or repr(one) == repr(other) == "nan")


def _names(layer: nn.Module) -> Collection[str]:
    return layer._parameters.keys() | layer._buffers.keys()


def _shapes(layer: nn.Module) -> list[tuple[str, bool, tuple[int, ...] | None]]:
    tensors: dict[str, Tensor | None] = {**layer._parameters, **layer._buffers}
    hidden = layer._non_persistent_buffers_set
    return [(key, key in hidden, None if tensor is None else tuple(tensor.shape)) for key, tensor in tensors.items()]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]
