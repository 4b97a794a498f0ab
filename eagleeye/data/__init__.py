"""Images: where they come from, which of them a search uses, and how they reach a network."""

from eagleeye.data.batches import Batches
from eagleeye.data.decoding import decode
from eagleeye.data.images import Images, ImageSet, Preprocess
from eagleeye.data.sources import open_source
from eagleeye.data.store import decode_to
from eagleeye.data.subset import Subset, draw_subset, read_subset, write_subset

__all__ = [
    "Batches",
    "ImageSet",
    "Images",
    "Preprocess",
    "Subset",
    "decode",
    "decode_to",
    "draw_subset",
    "open_source",
    "read_subset",
    "write_subset",
]
