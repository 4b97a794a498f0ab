"""Training and fine-tuning of any network, full or pruned."""

from eagleeye.train.data import DecodedData, TrainData
from eagleeye.train.distributed import current_share, local_device
from eagleeye.train.loop import TrainResult, train
from eagleeye.train.opening import open_training
from eagleeye.train.own_loop import OwnTraining, Told, Trainer, train_by
from eagleeye.train.recipe import Augment, Recipe
from eagleeye.train.streamed import StreamedData

__all__ = [
    "Augment",
    "DecodedData",
    "OwnTraining",
    "Recipe",
    "StreamedData",
    "Told",
    "TrainData",
    "TrainResult",
    "Trainer",
    "current_share",
    "local_device",
    "open_training",
    "train",
    "train_by",
]
