"""What removed channels did, done by those that stay: layers are refitted, channels ranked by what is lost then."""

from eagleeye.reconstruction.reconstruction import Reconstruction, reconstruct

__all__ = ["Reconstruction", "reconstruct"]
