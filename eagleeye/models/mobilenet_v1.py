"""MobileNet: Howard et al. 2017, "MobileNets: efficient CNNs for mobile vision applications"."""

from torch import Tensor, nn
from torch.nn import functional as F

# Channels and stride of the thirteen depthwise-separable blocks (table 1 of the paper).
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)


class SeparableBlock(nn.Module):
    """A 3x3 depthwise and a 1x1 convolution, each with batch normalisation and ReLU."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)))


class MobileNetV1(nn.Module):
    """A 3x3 stem, thirteen depthwise-separable blocks, average pooling and a linear layer.

    Args:
        num_classes: Outputs.
        stem_stride: 2 for ImageNet (224x224 pixels, 32 times smaller at the end); 1 for 32x32 pixels.
        in_channels: Channels of the images.
        width: The paper's width multiplier: every layer has this share of its channels, in (0, 1].
    """

    def __init__(self, num_classes: int, stem_stride: int, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        stem, *widths = (int(width * channels) for channels in (32, *(channels for channels, _ in _BLOCKS)))
        self.conv1 = nn.Conv2d(in_channels, stem, 3, stride=stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        inputs = (stem, *widths)
        strides = [stride for _, stride in _BLOCKS]
        self.layers = nn.Sequential(*(SeparableBlock(*one) for one in zip(inputs, widths, strides, strict=False)))
        self.linear = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, in_channels, h, w) to logits (n, num_classes)."""
        out = self.layers(F.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(out, 1).flatten(1))
        return logits
