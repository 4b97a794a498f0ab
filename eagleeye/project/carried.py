"""The pipeline's files that come with the library: a wheel carries copies of them, a clone has them beside it.

The build (`setup.py`) runs this file by itself, without the library.
"""

from pathlib import Path

PATTERNS = (
    *(".dvc/.gitignore", ".dvc/config", ".dvc/plots-licenses.txt", ".dvc/plots.html", ".dvcignore", ".gitignore"),
    *("checkpoints/.gitignore", "constraints.txt", "dvc.yaml", "own/__init__.py", "params.yaml"),
    *("pipeline.mk", "prefect.toml", "prefect.yaml", "recipes/*.yaml", "supervisord.conf"),
    *("flows/**/*.py", "tasks/**/*.py"),
)
"""Relative to the project's folder."""
PACKED = "files"
"""The folder, in the wheel's `eagleeye/project`, that holds them."""


def files(root: Path) -> list[str]:
    """The pipeline's files below a folder.

    Args:
        root: A clone, or the folder that a wheel carries.

    Returns:
        Their paths in it, with slashes, in order.
    """
    found = (path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file())
    return sorted({path.relative_to(root).as_posix() for path in found if "__pycache__" not in path.parts})


def source() -> Path:
    """The folder that the pipeline's files are taken from: the wheel's, or the clone."""
    here = Path(__file__).resolve()
    packed = here.with_name(PACKED)
    return packed if packed.is_dir() else here.parents[2]
