"""What a request that comes through a server may change in params.yaml: nothing that names code or another machine."""

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

from eagleeye.errors import ConfigError
from tasks.params import Params
from tasks.passwords import without_passwords
from tasks.settings import preview

# Settings that may name a function, which is imported and called.
FUNCTIONS = ("task", "data.source", "model.name", "strategies.sampler", "importance.criterion", "finetune.trainer")
# Settings that say where records and work are sent; a Ray cluster sends back what is unpickled.
ADDRESSES = ("runner.address", "tracking.uri")


def check_request(path: Path, overrides: Mapping[str, object]) -> None:
    """Refuse a request that brings in code or an address: only who may edit the file chooses those.

    Args:
        path: The settings file.
        overrides: Values by dotted key, as the request gives them.

    Raises:
        ConfigError: The request names a function or an address that the file does not hold, or is not valid.
    """
    after = preview(path, overrides)
    before = _now(path)
    for key in FUNCTIONS + ADDRESSES:
        new = attrgetter(key)(after)
        old = attrgetter(key)(before) if before else None
        if new != old and (key in ADDRESSES or _is_function(new)):
            what = "an address" if key in ADDRESSES else "a function"
            raise ConfigError(
                f"overrides: {key} is {without_passwords(new)!r}: {what} is taken from {path.name} alone, not from a"
                f" request; write it into {path.name} and run again"
            )


def _now(path: Path) -> Params | None:
    try:
        return preview(path, {})
    except ConfigError:  # the request may be what mends the file
        return None


def _is_function(value: str | None) -> bool:
    return value is not None and ":" in value and not value.startswith("torchvision:")
