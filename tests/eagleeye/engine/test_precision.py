"""Which precision a setting names."""

from __future__ import annotations

import pytest
import torch

from eagleeye.engine import choose_precision, precision
from eagleeye.errors import ConfigError


def test_a_named_precision_is_taken() -> None:
    assert choose_precision("float32", "cpu") == torch.float32
    assert choose_precision("bfloat16", "cpu") == torch.bfloat16


@pytest.mark.parametrize(("native", "wanted"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_16_bits_where_they_are_native(
    native: bool, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_precision("auto", "cpu") == wanted
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert choose_precision("auto", torch.device("cuda", 0)) == wanted


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="'half' is unknown; allowed are auto, float32, bfloat16"):
        choose_precision("half", "cpu")
    assert precision.PRECISIONS[0] == "auto"
