"""A trained network and images in, a smaller network out: everything between in one call."""

from eagleeye.compression.one_call import compress
from eagleeye.compression.progress import Candidate
from eagleeye.compression.result import Compressed

__all__ = ["Candidate", "Compressed", "compress"]
