"""How candidates are evaluated: which precision a setting names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from eagleeye.engine import choose_precision, method
from eagleeye.errors import ConfigError
from eagleeye.forward import kernels


def test_a_named_precision_is_taken() -> None:
    assert choose_precision("float32", "cpu") == torch.float32
    assert choose_precision("bfloat16", "cpu") == torch.bfloat16


@pytest.mark.parametrize(("native", "wanted"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_16_bits_where_they_are_native(
    native: bool, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(kernels, "_onednn_uses_them", lambda: True)
    assert choose_precision("auto", "cpu") == wanted
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert choose_precision("auto", torch.device("cuda", 0)) == wanted


def test_auto_takes_32_bits_where_onednn_is_not_to_use_what_is_native() -> None:
    code = "from eagleeye.engine import choose_precision as choose; print(choose('auto', 'cpu'))"
    masked = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=masked, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.float32\n"


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="'half' is unknown; allowed are auto, float32, bfloat16"):
        choose_precision("half", "cpu")
    assert method.PRECISIONS[0] == "auto"


@pytest.mark.parametrize("own", [torch.float64, torch.float16, torch.bfloat16])
def test_a_network_that_is_not_float32_keeps_its_own(own: torch.dtype) -> None:
    name = str(own).removeprefix("torch.")
    assert choose_precision("auto", "cpu", own) == own
    with pytest.raises(ConfigError, match=f"'float32', but the network's weights are {name}: leave 'auto'"):
        choose_precision("float32", "cpu", own)
