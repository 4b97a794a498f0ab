"""Families of torch's layers; it keeps their base classes to itself."""

from torch import nn

ConvNd = nn.modules.conv._ConvNd
"""All convolutions, the transposed ones, too."""
BatchNorm = nn.modules.batchnorm._BatchNorm
InstanceNorm = nn.modules.instancenorm._InstanceNorm
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Those that are not transposed."""
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
