"""Addresses and settings without the names and passwords that stand in them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
CREDENTIALS = r"(?<!/)//(?!/)(?:[^/\s]*|[^/\s:@]*:(?!\d+/)\S*)@"  # a password may hold an @ or a slash
SECRET_OPTION = r"([?&;]\w*(?:password|passwd|pwd|token|secret)\w*=)([^&;\s]*)"  # noqa: S105 - how one looks


def without_password(text: str, uri: str = "") -> str:
    """A text without the names and passwords that stand in its addresses.

    Args:
        text: The text.
        uri: An address that it is about: its password does not show, alone or in part, either.
    """
    for secret in _secrets(uri):
        text = text.replace(secret, HIDDEN)
    text = re.sub(SECRET_OPTION, rf"\1{HIDDEN}", text)
    return re.sub(CREDENTIALS, "//", text)


def without_passwords(value: Any) -> Any:
    """Nested settings, the names and passwords in their addresses taken out."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {name: without_passwords(item) for name, item in value.items()}
    return [without_passwords(item) for item in value] if isinstance(value, list) else value


def _secrets(uri: str) -> list[str]:
    """The passwords of an address as it writes them and as they are meant, the longest first."""
    found = re.search(r"//[^/\s:@]*:(\S*)@", uri)
    written = [found[1]] if found else []
    written += [option[2] for option in re.finditer(SECRET_OPTION, uri)]
    # Of a password with an @ or a slash that should have been escaped, drivers take a part for the host.
    written += [f"{part}@" for part in re.split("[@/]", found[1])[1:] if part] if found else []
    secrets = {secret for one in written for secret in (one, unquote(one)) if secret}
    return sorted(secrets, key=len, reverse=True)
