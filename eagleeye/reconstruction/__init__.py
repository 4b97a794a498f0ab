"""What removed channels did, done by those that stay: layers are refitted, channels ranked by what is lost then."""

from eagleeye.reconstruction.in_turn import images_in_turn
from eagleeye.reconstruction.reconstruction import Reconstruction, reconstruct

__all__ = ["Reconstruction", "images_in_turn", "reconstruct"]
