"""Random shifts and mirror images for a whole batch at once, on the device where the pixels lie."""

import numpy as np
import torch

from eagleeye.train.recipe import Augment


def generator(*key: int) -> torch.Generator:
    """A CPU generator seeded by a tuple such as (seed, epoch, step).

    Draws come from the CPU whatever the device, so that every device sees the same images; hashing the tuple
    keeps neighbouring epochs and seeds apart.

    Args:
        *key: Numbers that name the draw, none negative.

    Returns:
        A fresh generator.
    """
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def draw(augment: Augment, count: int, side: tuple[int, int], source: torch.Generator) -> torch.Tensor:
    """Draw the changes to ``count`` images.

    Args:
        augment: What to draw; ``none`` and ``resized_crop`` (done while decoding) leave the pixels alone.
        count: Number of images n.
        side: Height and width of the images in pixels.
        source: Where the randomness comes from.

    Returns:
        int64 (n, 3): rows to shift down, columns to shift right, 1 to mirror.
    """
    changes = torch.zeros(count, 3, dtype=torch.int64)
    if augment in ("shift", "shift_flip"):
        for axis in (0, 1):
            reach = side[axis] // 8
            changes[:, axis] = torch.randint(-reach, reach + 1, (count,), generator=source)
    if augment == "shift_flip":
        changes[:, 2] = torch.randint(0, 2, (count,), generator=source)
    return changes


def apply(pixels: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Shift each image, filling with black, and mirror it where asked, in one gather.

    Args:
        pixels: (n, c, h, w).
        changes: int64 (n, 3) as drawn by `draw`.

    Returns:
        (n, c, h, w) of the same type, channels last in memory; ``pixels`` itself where nothing changes.
    """
    if not changes.any():
        return pixels
    count, channels, height, width = pixels.shape
    changes = changes.to(pixels.device, non_blocking=True)
    down = changes[:, :1]
    right = changes[:, 1:2]
    mirror = changes[:, 2:]
    rows = torch.arange(height, device=pixels.device) - down
    columns = torch.arange(width, device=pixels.device) - right
    columns = torch.where(mirror == 1, columns.flip(1), columns)
    # In a border of one black pixel: what would come from outside comes from there.
    framed = pixels.new_zeros(count, height + 2, width + 2, channels)
    framed[:, 1:-1, 1:-1] = pixels.permute(0, 2, 3, 1)
    rows = rows.clamp(-1, height) + 1
    columns = columns.clamp(-1, width) + 1
    image = torch.arange(count, device=pixels.device)[:, None, None]
    places = (image * (height + 2) + rows[:, :, None]) * (width + 2) + columns[:, None, :]
    # By whole pixels: three indices for every byte take four times as long.
    moved = framed.view(-1, channels).index_select(0, places.flatten())
    return moved.view(count, height, width, channels).permute(0, 3, 1, 2)
