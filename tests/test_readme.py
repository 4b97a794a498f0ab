"""The README's lines of Python, as a reader would run them."""

import re
from pathlib import Path

import torch

import eagleeye
from eagleeye.data import Images, Preprocess
from tests.eagleeye import networks

README = Path(__file__).parents[1] / "README.md"


def images(count: int) -> Images:
    return Images(torch.randint(0, 256, (count, 3, 12, 12), dtype=torch.uint8), torch.randint(0, 5, (count,)))


def test_the_ten_lines_prune_a_network_of_ones_own(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "count=1000" in code
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model, example_input = networks.lively(networks.Residual()).eval(), torch.randn(1, 3, 12, 12)
    names = {
        "model": model,
        "example_input": example_input,
        "calibration_images": images(16),
        "sub_validation_images": images(24),
        "preprocess": Preprocess(),
    }
    exec(code.replace("count=1000", "count=6").replace("macs=0.5", "macs=0.5, tolerance=0.1"), names)  # noqa: S102
    assert names["ranking"]["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    small = eagleeye.load(tmp_path / "pruned.safetensors")
    assert abs(eagleeye.cost(small, example_input).macs / eagleeye.cost(model, example_input).macs - 0.5) <= 0.1
