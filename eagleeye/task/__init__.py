"""What networks are for: one kind of outputs, scores and losses each."""

from eagleeye.task.classification import CLASSIFICATION
from eagleeye.task.scores import Order, Scorer
from eagleeye.task.task import Task

__all__ = ["CLASSIFICATION", "Order", "Scorer", "Task"]
