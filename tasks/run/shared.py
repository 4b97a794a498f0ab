"""What the items of a map have in common, as it travels to whoever works on them."""

from dataclasses import dataclass
from pathlib import Path

from tasks.artifacts import require
from tasks.inputs.images import choose_device
from tasks.params import Params


@dataclass(frozen=True)
class Shared:
    """Settings and files; the same for every item.

    Attributes:
        params: The settings.
        key: Hash of everything that determines a row but its item.
        files: What is read, relative to the project's folder, the working directory of whoever works.
        device: Kind of device the work is for: cpu or cuda.
    """

    params: Params
    key: str
    files: tuple[Path, ...]
    device: str


def share(params: Params, key: str, *files: Path) -> Shared:
    """Put together what the items of a map have in common.

    Args:
        params: The settings.
        key: Hash of everything that determines a row but its item.
        files: Artefacts that the work reads.

    Raises:
        ArtifactError: A file is missing.
        ConfigError: cuda is asked for and not there.
    """
    require(*files)
    return Shared(params, key, files, choose_device(params.evaluate.device).type)
