"""Images per forward pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import fx, nn

from eagleeye.engine import memory


def network(filters: int) -> fx.GraphModule:
    return fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, filters, 3, padding=1), nn.ReLU(), nn.Conv2d(filters, 2, 3)))


@pytest.mark.parametrize(("filters", "dtype", "wanted"), [(16, torch.float32, 128), (32, torch.float32, 64)])
def test_four_activations_fit_into_the_cache(
    filters: int, dtype: torch.dtype, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 16 filters at 16 x 16 in float32 take 16 KiB per image.
    monkeypatch.setattr(memory, "_cache_bytes", lambda: 4 * 128 * 16 * 1024)
    assert memory.choose_chunk(network(filters), torch.zeros(2, 3, 16, 16, dtype=dtype)) == wanted


def test_there_is_a_largest_and_a_smallest_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_cache_bytes", lambda: 10**12)
    assert memory.choose_chunk(network(4), torch.zeros(1, 3, 8, 8)) == memory.LARGEST
    monkeypatch.setattr(memory, "_cache_bytes", lambda: 1)
    assert memory.choose_chunk(network(4), torch.zeros(1, 3, 8, 8)) == memory.SMALLEST


def test_the_cache_is_as_large_as_the_system_says(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, wanted in (("32768K\n", 32 * 2**20), ("no idea", memory.CPU_CACHE)):
        (tmp_path / "size").write_text(text)
        monkeypatch.setattr(memory, "_CACHE_SIZE", tmp_path / "size")
        assert memory._cache_bytes() == wanted
    monkeypatch.setattr(memory, "_CACHE_SIZE", tmp_path / "missing")
    assert memory._cache_bytes() == memory.CPU_CACHE


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux alone returns memory so eagerly")
def test_freed_memory_is_kept() -> None:
    code = """
import resource, torch
from eagleeye.engine.memory import keep_freed_memory
{call}
for _ in range(10):  # until the heap has found its size
    torch.empty(2**24).fill_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(2**24).fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = []
    for call in ("", "keep_freed_memory()"):
        ended = subprocess.run([sys.executable, "-c", code.format(call=call)], capture_output=True, check=True)
        faults.append(int(ended.stdout))
    # A page is a fault when it comes from the system.
    assert faults[0] > 10**5
    assert faults[1] < 10**4
