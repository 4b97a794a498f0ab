"""How a saved network is loaded, as lines of Python to copy."""

from dataclasses import dataclass

_WAYS = {
    ".safetensors": """import eagleeye

network = eagleeye.load("{path}")
outputs = network(images)
texts = eagleeye.read_metadata("{path}")  # preprocess, classes, scores""",
    ".onnx": """import onnxruntime

session = onnxruntime.InferenceSession("{path}")
outputs = session.run(None, {{"images": images.numpy()}})
texts = session.get_modelmeta().custom_metadata_map  # preprocess, classes, scores""",
    ".pt2": """import torch

network = torch.export.load("{path}").module()
outputs = network(images)""",
}


@dataclass(frozen=True)
class SavedFile:
    """A file of the pruned network.

    Attributes:
        path: Where it lies, as it is written in the lines that load it.
        bytes: Its size.
    """

    path: str
    bytes: int

    @property
    def loading(self) -> str:
        """Lines of Python that load it and give it `images`, a normalised batch (n, C, H, W)."""
        suffix = self.path[self.path.rindex(".") :]
        return _WAYS[suffix].format(path=self.path)
