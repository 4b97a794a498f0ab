"""Has the wheel carry the pipeline's files (dvc.yaml, tasks/, …), which `eagleeye init` puts into a user's folder.

They are no packages of the wheel: whoever installs it keeps the names `tasks` and `flows` for modules of their own.
"""

import runpy
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
ROOM = Path("eagleeye", "project")
CARRIED = runpy.run_path(str(ROOT / ROOM / "carried.py"))


class BuildWithPipeline(build_py):
    """Copies the one definition of the pipeline into the wheel, and names it for the source distribution."""

    def run(self) -> None:
        """Build the package, then add the files; an editable install finds them in the clone."""
        super().run()
        if self.editable_mode:
            return
        packed = Path(self.build_lib) / ROOM / CARRIED["PACKED"]
        shutil.rmtree(packed, ignore_errors=True)
        for name in CARRIED["files"](ROOT):
            (packed / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, packed / name)

    def get_source_files(self) -> list[str]:
        """The files that a source distribution needs."""
        return [*super().get_source_files(), *CARRIED["files"](ROOT)]


setup(cmdclass={"build_py": BuildWithPipeline})
