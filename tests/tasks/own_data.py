"""A user's own data and network: real digits in image folders, and a small network that was trained on them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tests.tasks.networks import small

PARTS = {"train": slice(0, 600), "val": slice(600, 800)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_digits(folder: Path, side: int) -> None:
    """Folders train/0 to val/9 with digits of so many pixels."""
    found = load_digits()
    for part, rows in PARTS.items():
        for row in range(rows.start, rows.stop):
            place = folder / part / str(found.target[row])
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.rint(found.images[row] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR).save(place / f"{row}.png")


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """All images below a folder as they are, normalised as for ImageNet, and their labels."""
    files = sorted(folder.glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (x - mean) / std, torch.tensor([int(file.parent.name) for file in files])


def trained(folder: Path) -> nn.Module:
    """A network that knows most of the digits."""
    torch.manual_seed(0)
    model, (x, labels) = small(10), read(folder / "train")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(6):
        for rows in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), labels[rows]).backward()
            optimiser.step()
    return model.eval()
