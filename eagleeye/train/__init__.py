"""Training and fine-tuning of any network, full or pruned."""

from eagleeye.train.data import ResidentData, StreamedData, TrainData, open_training
from eagleeye.train.distributed import current_share, local_device
from eagleeye.train.loop import TrainResult, train
from eagleeye.train.recipe import Augment, Recipe

__all__ = [
    "Augment",
    "Recipe",
    "ResidentData",
    "StreamedData",
    "TrainData",
    "TrainResult",
    "current_share",
    "local_device",
    "open_training",
    "train",
]
