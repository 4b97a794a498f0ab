"""Small networks for what can be asked about scenes: masks, labels, counts, boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from benchmarks.scenes import CLASSES, SIDE


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    """Class scores for every pixel; what the encoder saw is joined to what the decoder makes."""

    def __init__(self, outputs: int = CLASSES, width: int = 12) -> None:
        super().__init__()
        self.first, self.down = block(1, width), block(width, 2 * width, 2)
        self.deep = nn.Sequential(block(2 * width, 4 * width, 2), block(4 * width, 4 * width))
        self.up, self.last = block(6 * width, 2 * width), block(3 * width, width)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (n, classes, h, w) of pictures (n, 1, h, w)."""
        first = self.first(x)
        down = self.down(first)
        up = self.up(torch.cat([F.interpolate(self.deep(down), scale_factor=2.0), down], 1))
        return self.head(self.last(torch.cat([F.interpolate(up, scale_factor=2.0), first], 1)))


class Heads(nn.Module):
    """Which digits there are, how many, and features: outputs as people return them."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.body = nn.Sequential(block(1, width), block(width, 2 * width, 2), block(2 * width, 4 * width, 2))
        self.labels, self.count = nn.Linear(4 * width, 10), nn.Linear(4 * width, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        """What there is in pictures (n, 1, h, w)."""
        features = self.body(x).amax((2, 3))
        return {"features": features, "heads": (self.labels(features), self.count(features))}


class Labels(Heads):
    """Which digits there are."""

    def forward(self, x: Tensor) -> Tensor:
        """A logit for every digit (n, 10), of pictures (n, 1, h, w)."""
        return self.labels(self.body(x).amax((2, 3)))


class Count(Heads):
    """How many digits there are."""

    def forward(self, x: Tensor) -> Tensor:
        """The number of digits (n, 1), of pictures (n, 1, h, w)."""
        return self.count(self.body(x).sum((2, 3)) / 100)


class Features(nn.Module):
    """A map of a quarter of the side, of which each cell has seen the whole of a digit."""

    out_channels = 32

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Sequential(block(1, width, 2), block(width, width))
        self.second = nn.Sequential(block(width, 2 * width, 2), block(2 * width, 2 * width))
        self.deep = nn.Sequential(block(2 * width, 4 * width, 2), block(4 * width, 4 * width))
        self.last = nn.Sequential(block(6 * width, 2 * width), nn.Conv2d(2 * width, self.out_channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 32, h / 4, w / 4) of pictures (n, 1, h, w)."""
        second = self.second(self.first(x))
        return self.last(torch.cat([F.interpolate(self.deep(second), scale_factor=2.0), second], 1))


def boxes(num_classes: int = 10) -> FCOS:
    """FCOS (Tian et al., ICCV 2019) of torchvision with a small backbone, a map of one size, and short heads."""
    features = Features()
    return FCOS(
        features,
        num_classes=num_classes,
        min_size=SIDE,
        max_size=SIDE,
        image_mean=[0.0],
        image_std=[1.0],
        size_divisible=4,
        anchor_generator=AnchorGenerator(sizes=((8,),), aspect_ratios=((1.0,),)),
        head=FCOSHead(features.out_channels, num_anchors=1, num_classes=num_classes, num_convs=1),
        score_thresh=0.05,
        detections_per_img=20,
    )
