"""The README's lines of Python, as a reader would run them: on real images, with a network that was trained on them."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import eagleeye
from eagleeye.data import Images, Preprocess

README = Path(__file__).parents[1] / "README.md"
SHAPE = Preprocess(size=8, mean=(0.3,) * 3, std=(0.4,) * 3)
TRAINING, CALIBRATION, SUB_VALIDATION = 1437, 128, 300


def digits() -> Images:
    found = load_digits()
    pixels = torch.from_numpy((found.images * (255 / 16)).round()).to(torch.uint8)
    return Images(pixels[:TRAINING, None].repeat(1, 3, 1, 1), torch.from_numpy(found.target[:TRAINING]).long())


def convolution(inputs: int, filters: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]


def inputs_of(images: Images) -> torch.Tensor:
    return (images.pixels / 255 - SHAPE.mean[0]) / SHAPE.std[0]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the lines take for granted."""
    torch.manual_seed(0)
    images, model = (
        digits(),
        nn.Sequential(
            *convolution(3, 12),
            *convolution(12, 16),
            nn.MaxPool2d(2),
            *[layer for inputs in (16, 24, 24) for layer in convolution(inputs, 24)],
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(24, 10),
        ),
    )
    optimiser, x = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), inputs_of(images)
    for _ in range(6):
        for rows in torch.randperm(TRAINING).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), images.labels[rows]).backward()
            optimiser.step()
    first, last = slice(CALIBRATION), slice(CALIBRATION, CALIBRATION + SUB_VALIDATION)
    return {
        "model": model.eval(),
        "example_input": x[:1],
        "calibration_images": Images(images.pixels[first], images.labels[first]),
        "sub_validation_images": Images(images.pixels[last], images.labels[last]),
        "preprocess": SHAPE,
    }


def accuracy(network: nn.Module, images: Images) -> float:
    with torch.no_grad():
        return float((network(inputs_of(images)).argmax(1) == images.labels).double().mean())


@pytest.mark.parametrize("count", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_the_file_that_the_ten_lines_save_is_as_good_as_their_ranking_says(
    names: dict[str, Any], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "count=100," in code
    monkeypatch.chdir(tmp_path)
    used = dict(names)
    exec(code.replace("count=100,", f"count={count},"), used)  # noqa: S102
    images, model, ranking = names["sub_validation_images"], names["model"], used["ranking"]
    candidates = used["strategies"]
    assert len(candidates) >= count + 2  # drawn, evenly pruned, allocated
    assert ranking["rank"].tolist() == list(range(1, len(candidates) + 1))
    small = eagleeye.load("pruned.safetensors")
    # Rounding, to 16 bits on some machines, decides about an image or two; the full network's statistics about a third.
    assert abs(accuracy(small, images) - ranking["accuracy"][0]) <= 0.02
    winner = next(each for each in candidates if each.id == ranking["id"][0])
    stale = eagleeye.prune(model, used["space"], winner)
    assert accuracy(stale, images) < ranking["accuracy"][0] - 0.2
    macs = [eagleeye.cost(network, names["example_input"]).macs for network in (small, model)]
    assert abs(macs[0] / macs[1] - 0.5) <= 0.005
