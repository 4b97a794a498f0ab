"""A small detector of the usual kind: what it returns is chosen by values, so that it cannot be traced as a whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 16
CLASSES = 3
CELL = 4
"""Pixels of a cell of the map."""


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.last = nn.Conv2d(12, 6, 1)

    def forward(self, x):
        return {"map": self.last(self.second(self.first(x)))}


class Detector(nn.Module):
    """Every cell of a map of 4 x 4 has a box of its own size, a class and a score."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Conv2d(6, CLASSES, 1)
        self.unused = nn.Conv2d(1, 1, 1)
        self.num_classes = CLASSES

    def forward(self, images, targets=None):
        if float(images.max()) > 100:
            raise ValueError("pictures lie in [0, 1]")
        x = images * 2 - 1
        logits = self.head(self.norm(self.backbone(x)["map"]).relu())
        if self.training:
            return {"classes": _loss(logits, targets), "size": logits.square().mean() / 100}
        return [_found(each) for each in logits.sigmoid()]


class Twice(nn.Module):
    """A core that is called once for every size."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"conv": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))})

    def forward(self, x):
        return self.parts["conv"](x).sum((2, 3)) + self.parts["conv"](x[..., ::2, ::2]).sum((2, 3))


def detector(seed: int = 0) -> Detector:
    """With statistics and weights that differ from channel to channel."""
    torch.manual_seed(seed)
    model = Detector().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def pictures(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def targets(count: int, seed: int = 2) -> list[dict[str, Tensor]]:
    """Boxes of cells, none in every third picture."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for image in range(count):
        cells = torch.randperm(16, generator=generator)[: image % 3]
        labels = torch.randint(0, CLASSES, (len(cells),), generator=generator)
        found.append({"boxes": _boxes(cells), "labels": labels})
    return found


def _boxes(cells: Tensor) -> Tensor:
    corner = torch.stack([cells % 4, cells // 4], 1).float() * CELL
    return torch.cat([corner, corner + CELL], 1)


def _found(scores: Tensor) -> dict[str, Tensor]:
    best, labels = scores.flatten(1).max(0)
    sure = (best > 0.3).nonzero()[:, 0]
    return {"boxes": _boxes(sure), "labels": labels[sure], "scores": best[sure]}


def _loss(logits: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    wanted = torch.zeros_like(logits).flatten(2)
    for image, each in enumerate(targets):
        cells = (each["boxes"][:, 1] / CELL * 4 + each["boxes"][:, 0] / CELL).long()
        wanted[image, each["labels"], cells] = 1
    return F.binary_cross_entropy_with_logits(logits.flatten(2), wanted)
