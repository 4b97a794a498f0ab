"""Images: where they come from, which of them a search uses, and how they reach a network."""

from eagleeye.data.batches import Batches
from eagleeye.data.images import Images, ImageSet, Preprocess, decode
from eagleeye.data.sources import open_source
from eagleeye.data.subset import Subset, draw_subset, read_subset, write_subset

__all__ = [
    "Batches",
    "ImageSet",
    "Images",
    "Preprocess",
    "Subset",
    "decode",
    "draw_subset",
    "open_source",
    "read_subset",
    "write_subset",
]
