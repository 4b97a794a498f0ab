"""Images as people have them (loaders, data sets, folders, tensors), seen as one kind of collection, or as batches."""

from eagleeye.given.batched import batches_of, streamed
from eagleeye.given.collection import Collection
from eagleeye.given.preparation import preprocess_of
from eagleeye.given.recognise import collect

__all__ = ["Collection", "batches_of", "collect", "preprocess_of", "streamed"]
