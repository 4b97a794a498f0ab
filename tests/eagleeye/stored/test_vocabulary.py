"""What a stored network may call is written out, and each of it can be called by the code made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from eagleeye.stored import vocabulary
from eagleeye.stored.vocabulary import ATTRIBUTES, functions, methods

HARMFUL = frozenset(
    """
    apply_ map_ map2_ numpy type untyped_storage storage resize_ resize_as_ set_ share_memory_ register_hook
    backward requires_grad_ retain_grad data_ptr as_strided as_strided_ new new_empty tofile pin_memory cuda xpu
    is_shared record_stream module_load to_sparse to_mkldnn to_dense as_subclass from_file from_numpy frombuffer
    load save compile vmap empty empty_like empty_strided sparse_coo_tensor sparse_csr_tensor quantize_per_tensor
    dequantize set_printoptions manual_seed set_num_threads set_default_device set_default_dtype from_dlpack
    to_dlpack utf8 has_torch_function boolean_dispatch handle_torch_function triplet_margin_with_distance_loss
    embedding_bag ctc_loss searchsorted fractional_max_pool2d max_unpool2d bincount histc stft __reduce__ __class__
    attrgetter methodcaller itemgetter call
    """.split()  # noqa: SIM905
)


def test_nothing_harmful_is_allowed() -> None:
    names = {name.rpartition(".")[2] for name in functions()} | methods() | ATTRIBUTES
    assert not names & HARMFUL
    assert not [name for name in names if name.startswith("_")]


def test_every_name_stands_in_the_source() -> None:
    words = set(re.findall(r"\w+", Path(vocabulary.__file__).read_text()))
    for name in {name.rpartition(".")[2] for name in functions()} | methods():
        assert name in words or name.removesuffix("_") in words


def test_every_function_is_one_of_torch_or_of_numbers() -> None:
    for name, function in functions().items():
        space = name.rpartition(".")[0]
        assert space in (
            "torch",
            "torch.nn.functional",
            "torch.fft",
            "torch.linalg",
            "torch.special",
            "math",
            "operator",
        )
        assert callable(function)
        assert not isinstance(function, (type, nn.Module))
        assert str(getattr(function, "__module__", "") or "torch").split(".")[0] in ("torch", "math", "_operator")
    assert all(callable(getattr(Tensor, name)) for name in methods())


def test_the_code_made_of_a_call_calls_just_that() -> None:
    for name, function in functions().items():
        if name.startswith("operator."):  # written as what they are: x + x
            continue
        graph = fx.Graph()
        x = graph.placeholder("x")
        graph.output(graph.call_function(function, (x, x)))
        code = fx.GraphModule(nn.Module(), graph)._graph.python_code("self")
        called = re.search(r"= ([\w.]+)\(x, x\)", code.src)
        assert called, name
        first, *rest = called.group(1).split(".")
        found = code.globals.get(first, torch if first == "torch" else None)
        for part in rest:
            found = getattr(found, part)
        assert found == function, name


def test_torch_alone_cannot_widen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "an_operation_to_come", torch.relu, raising=False)
    functions.cache_clear()
    assert "torch.an_operation_to_come" not in functions()
