"""What is asked of a device's kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from eagleeye.forward.kernels import repeatable_kernels


def test_bfloat16_is_not_native_where_onednn_may_not_use_the_instructions() -> None:
    code = """
import torch
from eagleeye.forward.kernels import multiplies_bfloat16
from eagleeye.train.precision import autocast_type
print(multiplies_bfloat16(torch.device("cpu")), autocast_type(torch.device("cpu")))
"""
    masked = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=masked, capture_output=True, text=True, check=True)
    assert done.stdout == "False None\n"


@pytest.mark.parametrize("before", [(False, True), (True, False)])
def test_kernels_are_repeatable_inside_and_the_callers_outside(
    before: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", before[0])
    monkeypatch.setattr(cudnn, "benchmark", before[1])
    with pytest.raises(ZeroDivisionError), repeatable_kernels():
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
        1 / 0  # noqa: B018
    assert (cudnn.deterministic, cudnn.benchmark) == before
