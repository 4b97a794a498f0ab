"""A small training run that the test of several processes starts by `torchrun`, and repeats alone."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from eagleeye.data import Batches, Images, Preprocess
from eagleeye.train import DecodedData, Recipe, train

# No mirroring: it would turn one class into the other.
RECIPE = Recipe(epochs=4, batch_size=16, lr=0.02, augment="shift", mixed_precision=False, seed=2)


def pictures(count):
    """Noise with a bright left (class 0) or right half (class 1)."""
    source = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 200, (count, 3, 16, 16), dtype=torch.uint8, generator=source)
    labels = torch.randint(0, 2, (count,), generator=source)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, :, 8 * int(label) : 8 * int(label) + 8] += 55
    return Images(pixels, labels)


def network(kind, seed=0):
    """With batch norm the processes see statistics of their own; without, sharing a batch changes nothing."""
    torch.manual_seed(seed)
    normalise = nn.BatchNorm2d(8) if kind == "batch norm" else nn.Identity()
    layers = [nn.Conv2d(3, 8, 3, stride=2), normalise, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(128, 2))


def run(kind):
    """Weights, best accuracy and the epochs that were called back."""
    preprocess, images, epochs = Preprocess(), pictures(140), []
    data = DecodedData(Images(images.pixels[:60], images.labels[:60]), preprocess, "cpu")
    held_out = Images(images.pixels[60:], images.labels[60:])
    validation = Batches(held_out, preprocess, batch_size=40, device="cpu", labelled=True)
    net, recipe, teacher = network(kind), RECIPE, None
    if kind == "taught":
        recipe, teacher = replace(RECIPE, ema=0.6, distillation=0.2), network(kind, seed=1)
    told = {"teacher": teacher, "on_epoch": lambda state: epochs.append(state["epoch"])}
    result = train(net, data, validation, recipe, device="cpu", **told)
    return net.state_dict(), result.best_score, epochs


if __name__ == "__main__":
    torch.save(run(sys.argv[1]), Path(sys.argv[2]) / f"{os.environ['RANK']}.pt")
