"""Tiny real images: two kinds of squares that a small network tells apart within seconds."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from eagleeye.data import Images, Preprocess, decode


class Squares:
    """An image set: dark pictures with a bright square left (class 0) or right (class 1)."""

    classes = ("left", "right")

    def __init__(self, count, size=16, seed=0):
        random = np.random.default_rng(seed)
        self.labels = random.integers(0, 2, count).astype(np.int64)
        self.pictures = random.integers(0, 120, (count, size, size, 3)).astype(np.uint8)
        half = size // 2
        for picture, label in zip(self.pictures, self.labels, strict=True):
            start = half // 2 - 2 + half * int(label)
            picture[half - 3 : half + 3, start : start + 5] += 100

    def __len__(self):
        return len(self.labels)

    def encoded(self, row):
        file = io.BytesIO()
        Image.fromarray(self.pictures[row]).save(file, format="PNG")
        return file.getvalue()


class SmallNet(nn.Module):
    """Convolution, batch norm, dropout, linear: everything a training loop has to treat with care."""

    def __init__(self, classes=2):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.2)
        self.linear = nn.Linear(8 * 16, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.adaptive_avg_pool2d(x, 4)
        return self.linear(self.drop(x.flatten(1)))


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these only lose by sharing their work among threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def preprocess():
    return Preprocess(size=None, resize=None, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


@pytest.fixture
def squares():
    return Squares(64)


@pytest.fixture
def images(squares, preprocess) -> Images:
    return decode(squares, None, preprocess)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return SmallNet()
