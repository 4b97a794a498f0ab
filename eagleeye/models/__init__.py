"""Networks by name, and their checkpoints."""

from eagleeye.models.build import build, names
from eagleeye.models.checkpoint import load_checkpoint, save_checkpoint

__all__ = ["build", "load_checkpoint", "names", "save_checkpoint"]
