"""Small results that cost much, kept by the content that determines them, so that a killed study continues."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eagleeye.errors import ArtifactError
from eagleeye.files import written_whole


class ResultCache:
    """Results as one JSON file each; any number of threads and processes may use one folder at a time."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not be there yet."""
        self._folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The result of a key.

        Args:
            key: From `tasks.state.content_key.content_key`.

        Returns:
            The result; None where there is none yet.

        Raises:
            ArtifactError: Its file is damaged.
        """
        path = self._path(key)
        if not path.exists():
            return None
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{path} is damaged ({error}): delete it and run again") from error
        if not isinstance(result, dict):
            raise ArtifactError(f"{path} is damaged (no result in it): delete it and run again")
        return result

    def put(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result; it is on disk when this returns.

        Args:
            key: From `tasks.state.content_key.content_key`.
            result: What JSON can say; numbers come back with the same bits.

        Raises:
            ArtifactError: It cannot be written.
        """
        text = json.dumps(result)
        with written_whole(self._path(key)) as beside:
            beside.write_text(text, encoding="utf-8")

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
