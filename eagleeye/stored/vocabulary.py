"""What a stored network may call: operations that compute with tensors, each by its name.

A network's file is data from strangers. Whatever is named here must do nothing but compute with its arguments: it opens
no file, imports no module, calls no function it is given, hands out no memory that it has not filled, and cannot make a
tensor that points elsewhere (`resize_`, `set_`, sparse and quantized tensors, `as_strided`). The lists are written out,
so that a new release of torch adds nothing to them by itself.
"""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ATTRIBUTES = frozenset(
    {"shape", "ndim", "dtype", "device", "T", "mT", "H", "mH", "real", "imag", "is_cuda", "values", "indices"}
)
"""What may be read of a value: `values` and `indices` are parts of what `max`, `sort` and the like return."""

_ARITHMETIC = """
    abs add and_ eq floordiv ge getitem gt iadd iand ifloordiv imatmul imod imul invert ior ipow isub itruediv ixor le
    lt matmul mod mul ne neg not_ or_ pos pow setitem sub truediv xor
"""

_ELEMENTWISE = """
    abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh
    atan atan2 atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp
    clamp_max clamp_min clip copysign cos cosh deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix
    float_power floor floor_divide fmod frac ge greater greater_equal gt heaviside hypot i0 ldexp le lerp less
    less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt masked_fill mul
    multiply nan_to_num ne neg negative not_equal pow rad2deg reciprocal relu remainder round rsqrt sgn sigmoid sign sin
    sinc sinh sqrt square sub subtract tan tanh true_divide trunc xlogy
"""
"""Operations that are functions of torch and methods of tensors, and have a form in place (`add_`)."""

_OPERATIONS = """
    adaptive_avg_pool1d addbmm addmm addmv addr adjoint affine_grid_generator all allclose alpha_dropout amax amin
    aminmax any argmax argmin argsort atleast_1d atleast_2d atleast_3d avg_pool1d baddbmm batch_norm bernoulli bfloat16
    bilinear block_diag bmm bool broadcast_tensors broadcast_to byte cartesian_prod cat cdist celu chain_matmul
    channel_shuffle char chunk clone column_stack complex concat concatenate conj conj_physical constant_pad_nd
    contiguous conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity
    count_nonzero cov cpu cross cummax cummin cumprod cumsum det detach diag diag_embed diagflat diagonal
    diagonal_scatter diff dim dist dot double dropout dsplit dstack einsum embedding equal expand expand_as
    feature_alpha_dropout feature_dropout flatten flip fliplr flipud float fmax fmin full_like gather ger group_norm
    half hardshrink hsplit hstack imag index_add index_copy index_fill index_put index_select inner instance_norm int
    inverse is_complex is_contiguous is_floating_point isclose isfinite isinf isnan isneginf isposinf isreal item kron
    kthvalue layer_norm log_softmax logaddexp logaddexp2 logcumsumexp logdet logsumexp long masked_scatter
    masked_select matmul matrix_exp matrix_power max max_pool1d max_pool2d max_pool3d maximum mean median meshgrid min
    minimum mm mode moveaxis movedim msort mv nanmean nanmedian nanquantile nansum narrow narrow_copy ndimension nonzero
    norm numel ones_like outer pairwise_distance permute pinverse pixel_shuffle pixel_unshuffle polar positive prelu
    prod quantile rand_like randn_like ravel real repeat repeat_interleave reshape reshape_as resolve_conj resolve_neg
    rms_norm roll rot90 row_stack rrelu rsub scatter scatter_add scatter_reduce select select_scatter selu short signbit
    size slice_scatter slogdet softmax sort split split_with_sizes squeeze stack std std_mean stride sum swapaxes
    swapdims t take take_along_dim tensor_split tensordot threshold tile tolist topk trace transpose tril triu type_as
    unbind unflatten unfold unsafe_chunk unsafe_split unsqueeze var var_mean vdot view view_as view_as_complex
    view_as_real vsplit vstack where zeros_like
"""
"""Further functions of torch, methods of tensors, or both."""

_CREATION = """
    arange as_tensor eye full linspace logspace ones rand randn scalar_tensor tensor tril_indices triu_indices zeros
"""

_SIZES = "sym_float sym_int sym_max sym_min"
"""Python's `float`, `int`, `max` and `min` for sizes."""

_METHODS = """
    to new_full new_ones new_tensor new_zeros addbmm_ addmm_ addmv_ addr_ baddbmm_ bernoulli_ copy_ cumprod_ cumsum_
    detach_ fill_ fill_diagonal_ index_add_ index_copy_ index_fill_ index_put_ masked_scatter_ normal_ scatter_
    scatter_add_ scatter_reduce_ squeeze_ swapaxes_ swapdims_ t_ transpose_ tril_ triu_ uniform_ unsqueeze_ zero_
"""

_FUNCTIONAL = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices
    affine_grid alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm bilinear celu celu_ conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity dropout dropout1d dropout2d dropout3d elu elu_
    embedding feature_alpha_dropout fold gelu glu grid_sample group_norm gumbel_softmax hardshrink hardsigmoid hardswish
    hardtanh hardtanh_ instance_norm interpolate layer_norm leaky_relu leaky_relu_ linear local_response_norm
    log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices mish multi_head_attention_forward normalize one_hot pad
    pairwise_distance pixel_shuffle pixel_unshuffle prelu relu relu6 relu_ rms_norm rrelu rrelu_
    scaled_dot_product_attention selu selu_ sigmoid silu softmax softmin softplus softshrink softsign tanh tanhshrink
    threshold threshold_ unfold upsample upsample_bilinear upsample_nearest
"""

_FFT = "fft fft2 fftfreq fftn fftshift ifft ifft2 ifftn ifftshift irfft irfft2 irfftn rfft rfft2 rfftfreq rfftn"
_LINALG = "cross det inv matmul matrix_norm matrix_power multi_dot norm solve vecdot vector_norm"
_SPECIAL = "digamma erf erfc exp2 expit expm1 log1p log_softmax logit logsumexp ndtr round sinc softmax xlogy"

SAME_FUNCTIONS: dict[Any, str] = {torch.empty: "torch.zeros", torch.empty_like: "torch.zeros_like"}
SAME_METHODS = {"new_empty": "new_zeros"}
"""What hands out memory as it finds it is stored as what fills it with zeros, which is one of its results."""


def _in_place(words: str) -> list[str]:
    return [f"{name}_" for name in words.split()]


@cache
def functions() -> dict[str, Any]:
    """Every function a stored network may call, by its name in the file."""
    spaces: tuple[tuple[str, Any, str], ...] = (
        ("operator", operator, _ARITHMETIC),
        ("math", math, "ceil exp floor log log2 pow prod sqrt"),
        ("torch", torch, f"{_ELEMENTWISE} {_OPERATIONS} {_CREATION} {_SIZES} {' '.join(_in_place(_ELEMENTWISE))}"),
        ("torch.nn.functional", F, _FUNCTIONAL),
        ("torch.fft", torch.fft, _FFT),
        ("torch.linalg", torch.linalg, _LINALG),
        ("torch.special", torch.special, _SPECIAL),
    )
    return {
        f"{prefix}.{name}": getattr(space, name)
        for prefix, space, words in spaces
        for name in words.split()
        if callable(getattr(space, name, None))
    }


@cache
def function_names() -> dict[Any, str]:
    """The name of every such function; of several names of one function the first."""
    return {function: name for name, function in reversed(functions().items())}


@cache
def methods() -> frozenset[str]:
    """Every method of a tensor that a stored network may call."""
    words = f"{_ELEMENTWISE} {_OPERATIONS} {_METHODS}".split() + _in_place(_ELEMENTWISE)
    return frozenset(name for name in words if callable(getattr(Tensor, name, None)))
