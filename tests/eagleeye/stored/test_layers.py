"""What is built from a layer's description is the layer, for every class of torch.nn; or the layer is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from eagleeye.errors import ArtifactError
from eagleeye.stored.channel_layers import ChannelPad, ChannelSelect, ChannelSlice, Reshape
from eagleeye.stored.layers import LAYERS, build_layer, describe_layer

SEQUENCE, FLAT = (5, 2, 4), (2, 4)
MAPS = {1: (2, 4, 8), 2: (2, 4, 8, 8), 3: (2, 4, 8, 8, 8)}


def _numbered() -> list[tuple[nn.Module, tuple[tuple[int, ...], ...]]]:
    found: list[tuple[nn.Module, tuple[tuple[int, ...], ...]]] = []
    for n, shape in MAPS.items():

        def of(name: str, *args: Any, axes: int = n, maps: tuple[int, ...] = shape, **kwargs: Any) -> None:
            found.append((getattr(nn, f"{name}{axes}d")(*args, **kwargs), (maps,)))

        of("Conv", 4, 6, 3)
        of("Conv", 4, 6, (3,) * n, stride=2, padding=1, dilation=2, groups=2, bias=False, padding_mode="circular")
        of("Conv", 4, 6, 3, padding="same", padding_mode="reflect" if n < 3 else "replicate")
        of("ConvTranspose", 4, 6, 3)
        of("ConvTranspose", 4, 6, [3] * n, stride=2, output_padding=1, padding=1, groups=2, bias=False)
        of("BatchNorm", 4)
        of("BatchNorm", 4, eps=0.1, momentum=None, affine=False)
        of("BatchNorm", 4, track_running_stats=False)
        of("InstanceNorm", 4)
        of("InstanceNorm", 4, eps=0.1, momentum=0.3, affine=True, track_running_stats=True)
        of("MaxPool", 3)
        of("MaxPool", (2,) * n, stride=1, padding=1, dilation=2, return_indices=True, ceil_mode=True)
        of("AvgPool", 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)
        of("AdaptiveAvgPool", 3)
        of("AdaptiveAvgPool", None if n == 1 else (None,) * (n - 1) + (2,)) if n > 1 else of("AdaptiveAvgPool", 1)
        of("AdaptiveMaxPool", 2, return_indices=True)
        of("LPPool", 2, 3, stride=2, ceil_mode=True)
        of("Dropout", 0.3, inplace=True)
        found.append((nn.Dropout(0.4), (shape,)))
        of("ZeroPad", 2)
        of("ConstantPad", tuple(range(2 * n)), -0.5)
        of("ReflectionPad", 1)
        of("ReplicationPad", tuple(range(2 * n)))
        of("CircularPad", 1)
    return found


def _simple() -> list[tuple[nn.Module, tuple[tuple[int, ...], ...]]]:
    maps = (MAPS[2],)
    plain = (
        nn.AlphaDropout(0.2), nn.CELU(0.5), nn.ChannelShuffle(2), nn.CrossMapLRN2d(3, 0.2, 0.5, 2), nn.ELU(0.3, True),
        nn.FeatureAlphaDropout(0.1), nn.Flatten(1, 2), nn.GELU("tanh"), nn.GLU(1), nn.GroupNorm(2, 4),
        nn.GroupNorm(2, 4, eps=0.2, affine=False), nn.Hardshrink(0.2), nn.Hardsigmoid(True), nn.Hardswish(),
        nn.Hardtanh(-2, 0.5), nn.Identity(), nn.Identity(54, unused=3), nn.LayerNorm((8, 8)),
        nn.LayerNorm(8, bias=False),
        nn.LayerNorm([4, 8, 8], eps=0.1, elementwise_affine=False), nn.LeakyReLU(0.3), nn.Linear(8, 3),
        nn.Linear(8, 3, bias=False), nn.LocalResponseNorm(3, 0.2, 0.5, 2.0), nn.LogSigmoid(), nn.LogSoftmax(1),
        nn.Mish(),
        nn.PReLU(), nn.PReLU(4, init=0.1), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.RMSNorm(8),
        nn.RMSNorm((8, 8), eps=0.1, elementwise_affine=False), nn.RReLU(0.1, 0.2), nn.ReLU(inplace=True), nn.ReLU6(),
        nn.SELU(True), nn.SiLU(), nn.Sigmoid(), nn.Softmax(1), nn.Softmax(), nn.Softmax2d(), nn.Softmin(2),
        nn.Softplus(2, 10), nn.Softshrink(0.1), nn.Softsign(), nn.SyncBatchNorm(4, eps=0.2, momentum=0.3),
        nn.Tanh(), nn.Tanhshrink(), nn.Threshold(0.1, float("-inf")), nn.Unflatten(1, (2, 2)), nn.Unfold(3, 1, 1, 2),
        nn.Upsample(scale_factor=2), nn.Upsample((5, 7), mode="bilinear", align_corners=True), nn.Upsample(size=3),
        nn.Upsample(scale_factor=(1.5, 2.5), mode="bicubic", recompute_scale_factor=True),
        nn.UpsamplingBilinear2d(scale_factor=2), nn.UpsamplingNearest2d(size=(3, 4)), StochasticDepth(0.2, "row"),
        ChannelPad([0, 0, 0, 0, 1, 2], 0.5), ChannelSelect(1, [3, 0, 2]), ChannelSlice(1, 1, 3), Reshape([2, 2, 64]),
    )  # fmt: skip
    return [(layer, maps) for layer in plain]


def _others() -> list[tuple[nn.Module, tuple[tuple[int, ...], ...]]]:
    encoder = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.2, activation="gelu", layer_norm_eps=0.1, norm_first=True)
    return [
        (nn.Bilinear(4, 4, 3), (FLAT, FLAT)),
        (nn.Bilinear(4, 4, 3, bias=False), (FLAT, FLAT)),
        (nn.CosineSimilarity(1, 0.1), (FLAT, FLAT)),
        (nn.PairwiseDistance(1, 0.1, keepdim=True), (FLAT, FLAT)),
        (nn.Fold((4, 5), 2, padding=1), ((2, 8, 30),)),
        (nn.Embedding(7, 4, padding_idx=2, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True), ()),
        (nn.MaxUnpool1d(2), ()),
        (nn.MaxUnpool2d((2, 3), stride=1, padding=1), ()),
        (nn.MaxUnpool3d(2, 3), ()),
        (nn.RNN(4, 3), (SEQUENCE,)),
        (nn.RNN(4, 3, 2, nonlinearity="relu", bias=False, batch_first=True, bidirectional=True), (SEQUENCE,)),
        (nn.LSTM(4, 3, 2, dropout=0.2, bidirectional=True, proj_size=2), (SEQUENCE,)),
        (nn.LSTM(4, 3, bias=False), (SEQUENCE,)),
        (nn.GRU(4, 3, num_layers=2, batch_first=True), (SEQUENCE,)),
        (nn.RNNCell(4, 3, bias=False, nonlinearity="relu"), (FLAT,)),
        (nn.LSTMCell(4, 3), (FLAT,)),
        (nn.GRUCell(4, 3, bias=False), (FLAT,)),
        (nn.MultiheadAttention(4, 2), (SEQUENCE,) * 3),
        (nn.MultiheadAttention(4, 2, 0.1, False, True, True, 4, 4, True), (SEQUENCE,) * 3),
        (nn.MultiheadAttention(4, 1, kdim=3, vdim=2), (SEQUENCE, (6, 2, 3), (6, 2, 2))),
        (nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), (SEQUENCE,)),
        (encoder, (SEQUENCE,)),
        (nn.TransformerDecoderLayer(4, 1, 6, bias=False), (SEQUENCE, SEQUENCE)),
        (nn.TransformerEncoder(encoder, 2, nn.LayerNorm(4), enable_nested_tensor=False), (SEQUENCE,)),
        (nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 6), 2), (SEQUENCE, SEQUENCE)),
    ]


CASES = [*_numbered(), *_simple(), *_others()]

NOT_STORED = frozenset(
    """
    AdaptiveLogSoftmaxWithLoss BCELoss BCEWithLogitsLoss CTCLoss Container CosineEmbeddingLoss CrossEntropyLoss
    DataParallel EmbeddingBag FractionalMaxPool2d FractionalMaxPool3d GaussianNLLLoss HingeEmbeddingLoss HuberLoss
    KLDivLoss L1Loss LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d
    LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d
    LazyLinear LinearCrossEntropyLoss MSELoss MarginRankingLoss Module ModuleDict ModuleList MultiLabelMarginLoss
    MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d ParameterDict ParameterList PoissonNLLLoss RNNBase
    RNNCellBase Sequential SmoothL1Loss SoftMarginLoss Transformer TripletMarginLoss TripletMarginWithDistanceLoss
    """.split()  # noqa: SIM905
)


def test_every_class_of_torch_is_tried_or_known_not_to_be_stored() -> None:
    classes = {
        name for name in dir(nn) if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    tried = {type(layer).__name__ for layer, _ in CASES}
    assert LAYERS - tried == set()
    assert classes - LAYERS - NOT_STORED == set(), "a class that torch has added: store it, or list it here"


@pytest.mark.parametrize(
    ("layer", "shapes"), CASES, ids=lambda value: str(value)[:60] if isinstance(value, nn.Module) else ""
)
def test_a_layer_built_from_its_description_is_the_same(layer: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> None:
    layer = copy.deepcopy(layer).eval()
    described = json.loads(json.dumps(describe_layer(layer)))
    built = build_layer(*described).to_empty(device="cpu").eval()
    if not isinstance(layer, ChannelSelect):
        assert list(built.state_dict()) == list(layer.state_dict())
        built.load_state_dict(layer.state_dict())
    else:
        built.index.copy_(layer.index)
    assert str(built) == str(layer)
    assert describe_layer(built) == describe_layer(layer)
    if shapes:
        torch.manual_seed(0)
        inputs = [torch.randn(shape) for shape in shapes]
        with torch.no_grad():
            wanted, found = layer(*(x.clone() for x in inputs)), built(*(x.clone() for x in inputs))
        _assert_equal(found, wanted)


def _assert_equal(found: Any, wanted: Any) -> None:
    if isinstance(wanted, Tensor):
        assert torch.equal(found, wanted)
    elif isinstance(wanted, tuple):
        for one, other in zip(found, wanted, strict=True):
            _assert_equal(one, other)
    else:
        assert found == wanted


def _hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda *_: None)
    return layer


def _with(layer: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


class Own(nn.Linear):
    """A class of a user's own."""


def _parametrized() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))


def _uneven_stack() -> nn.Module:
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6), 2)
    stack.layers[1].linear1 = nn.Linear(4, 6, bias=False)
    return stack


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Own(3, 3), "a Own cannot be stored"),
        (nn.CrossEntropyLoss, "a CrossEntropyLoss cannot be stored"),
        (lambda: nn.LazyLinear(3), "a LazyLinear cannot be stored"),
        (lambda: _hooked(nn.ReLU()), "with hooks"),
        (lambda: nn.utils.spectral_norm(nn.Linear(3, 3)), "with hooks"),
        (_parametrized, "a ParametrizedLinear cannot be stored"),
        (lambda: _with(nn.ReLU(), forward=lambda x: x), "with its own 'forward'"),
        (lambda: _with(nn.Linear(3, 3), weight=nn.Parameter(torch.ones(2, 3))), "other tensors"),
        (lambda: _with(nn.Conv2d(3, 3, 3), padding=(1, 1), padding_mode="circular"), "_reversed_padding"),
        (lambda: _with(nn.GELU(), approximate=torch.tanh), "which cannot be stored"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation=nn.ReLU()), "its activation"),
        (lambda: _with(nn.TransformerEncoderLayer(4, 2), dropout2=nn.Dropout(0.7)), "the setting 'p' 0.7"),
        (_uneven_stack, "cannot be stored"),
        (lambda: nn.TransformerEncoder(Own(3, 3), 1), "a Own cannot be stored"),
    ],
)  # fmt: skip
def test_what_would_not_come_back_as_it_is_is_refused(make: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        describe_layer(make())


def test_notes_on_a_layer_do_not_matter() -> None:
    assert describe_layer(_with(nn.ReLU(), is_last=True)) == describe_layer(nn.ReLU())


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("LSTM", {"input_size": 2, "hidden_size": 2, "num_layers": 20_000}),
        ("TransformerEncoder", {"encoder_layer": {"layer": ["ReLU", {}]}, "num_layers": 9}),
        ("Upsample", {"size": {"tuple": [100_000, 100_000]}}),
        ("AdaptiveAvgPool2d", {"output_size": 10**9}),
        ("ZeroPad2d", {"padding": 10**9}),
        ("Linear", {"in_features": 10**30, "out_features": 1}),
        ("Linear", {"in_features": "x", "out_features": 1}),
        ("Linear", {"in_features": 1}),
        ("Linear", {"in_features": 1, "out_features": 1, "device": "cuda"}),
        ("Embedding", {"num_embeddings": 1, "embedding_dim": 1, "_weight": None}),
        ("Linear", []),
        ("Sequential", {}),
        ("modules", {}),
        (["Linear"], {}),
    ],
)  # fmt: skip
def test_settings_of_strangers_are_refused(kind: Any, settings: Any) -> None:
    with pytest.raises(ArtifactError):
        build_layer(kind, settings, ["a.weight", "a.bias"])
