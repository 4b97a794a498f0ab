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
_CORES = {
    ".safetensors": """import eagleeye

network = eagleeye.load("{path}", into=full)  # full: built like the full network; {core} is replaced
outputs = network(images)
texts = eagleeye.read_metadata("{path}")  # preprocess, classes, scores""",
    ".onnx": """import onnxruntime

session = onnxruntime.InferenceSession("{path}")  # {core} alone
inputs = [each.name for each in session.get_inputs()]  # what reaches it
texts = session.get_modelmeta().custom_metadata_map  # preprocess, classes, scores""",
    ".pt2": """import torch

core = torch.export.load("{path}").module()  # {core} alone: it takes what reaches it""",
}


@dataclass(frozen=True)
class SavedFile:
    """A file of the pruned network.

    Attributes:
        path: Where it lies, as it is written in the lines that load it.
        bytes: Its size.
        core: The name of what was pruned of the network; empty: the network itself.
    """

    path: str
    bytes: int
    core: str = ""

    @property
    def loading(self) -> str:
        """Lines of Python that load it; a whole network is given `images`, a normalised batch (n, C, H, W)."""
        suffix = self.path[self.path.rindex(".") :]
        return (_CORES if self.core else _WAYS)[suffix].format(path=self.path, core=self.core)
