"""Trained networks for every task, and images of scenes with what is asked about them."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.scene_networks import Count, Heads, UNet
from benchmarks.scenes import Scenes, make_scenes


@cache
def scenes(count: int = 240, seed: int = 1) -> Scenes:
    return make_scenes(count, seed=seed)


@cache
def trained(kind: type[nn.Module], epochs: int = 6) -> nn.Module:
    """A network that knows something of its task, after a few seconds."""
    torch.manual_seed(0)
    model, found = kind(), scenes(240, 1)
    targets = {UNet: found.masks, Count: found.counts}.get(kind, found.labels)
    loss = {UNet: F.cross_entropy, Count: F.mse_loss}.get(kind, F.binary_cross_entropy_with_logits)
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(epochs):
        for rows in torch.randperm(len(targets)).split(24):
            optimizer.zero_grad()
            outputs = model(found.images[rows])
            loss(outputs["heads"][0] if kind is Heads else outputs, targets[rows]).backward()
            optimizer.step()
    return model.eval()
