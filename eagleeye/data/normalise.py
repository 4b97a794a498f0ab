"""From bytes to the network's input: subtract the mean, divide by the standard deviation."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from eagleeye.data.images import Preprocess

Constants = tuple[tuple[float, ...], tuple[float, ...]]
_KNOWN = (((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), (0.5, 0.5), (0.0, 1.0))


def usual_constants(scaled: Tensor) -> Iterator[Constants]:
    """Means and standard deviations that networks are usually trained with, and those of the images themselves.

    Args:
        scaled: Images in [0, 1], (n, channels, h, w).

    Yields:
        Means and standard deviations, one per channel.
    """
    channels = scaled.shape[1]
    each = scaled.permute(1, 0, 2, 3).flatten(1).double()
    for mean, std in (*_KNOWN, (each.mean(1).tolist(), each.std(1).clamp_min(1 / 255).tolist())):
        means, stds = ([value] * channels if isinstance(value, float) else list(value) for value in (mean, std))
        if len(means) == channels:
            yield tuple(means), tuple(stds)


class Unchanged:
    """Gives images that are a network's inputs already.

    Args:
        dtype: Type of the results.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def of(self, dtype: torch.dtype) -> "Unchanged":
        """The same with results of another type."""
        return Unchanged(dtype)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The network's inputs.

        Args:
            pixels: Floating point (n, channels, …).

        Returns:
            A copy: networks may write to it.
        """
        return pixels.to(self.dtype, copy=True)


class Normaliser:
    """Normalises decoded images on the device where they lie.

    With pixels p in 0..255, (p / 255 - mean) / std is folded into one multiplication and one addition in float32.
    A value depends on its byte and channel alone, never on its place in a batch.

    Args:
        preprocess: Gives mean and std.
        device: Where the images will lie.
        dtype: Type of the results; the arithmetic is float32 whatever it is.
    """

    def __init__(self, preprocess: Preprocess, device: torch.device | str, dtype: torch.dtype = torch.float32) -> None:
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preprocess.mean, preprocess.std))
        self.scale, self.shift = (values.to(torch.float32).to(device) for values in (1 / (255 * std), -mean / std))
        self.dtype = dtype

    def of(self, dtype: torch.dtype) -> "Normaliser":
        """The same with results of another type."""
        other = copy.copy(self)
        other.dtype = dtype
        return other

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalise images.

        Args:
            pixels: uint8 (n, channels, h, w); without a copy if channels lie last in memory.

        Returns:
            The network's inputs (n, channels, h, w), channels last in memory.
        """
        count, channels, height, width = pixels.shape
        # Whole rows of pixels as one axis: an innermost axis of three channels would leave the vector units idle.
        rows = pixels.permute(0, 2, 3, 1).reshape(count * height, width * channels)
        scale = self.scale.repeat(width)
        shift = self.shift.repeat(width)
        inputs = rows.to(torch.float32, memory_format=torch.contiguous_format).mul_(scale).add_(shift).to(self.dtype)
        return inputs.view(count, height, width, channels).permute(0, 3, 1, 2)
