"""What networks are for: one kind of outputs, scores and losses each."""

from eagleeye.task.classification import CLASSIFICATION
from eagleeye.task.confidence import Distances, Errors, Evidence, Hits, Losses, Shares
from eagleeye.task.scores import Order, Scorer
from eagleeye.task.task import Task, by_name

__all__ = [
    "CLASSIFICATION",
    "Distances",
    "Errors",
    "Evidence",
    "Hits",
    "Losses",
    "Order",
    "Scorer",
    "Shares",
    "Task",
    "by_name",
]
