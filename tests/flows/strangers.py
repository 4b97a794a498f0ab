"""Requests as a browser sends them for the page of a stranger."""

import urllib.error
import urllib.request

# Another site; a file or a frame without an origin; another server on this machine; a name that points to this machine.
FOREIGN = [
    {"Origin": "https://stranger.example"},
    {"Origin": "null"},
    {"Origin": "http://stranger.example:4200", "Host": "stranger.example:4200"},
    {"Origin": "http://127.0.0.1.stranger.example"},
]


def asked(address: str, method: str, headers: dict[str, str], body: bytes | None = None) -> int:
    """The status of an answer."""
    request = urllib.request.Request(address, method=method, headers=headers, data=body)
    try:
        return int(urllib.request.urlopen(request).status)
    except urllib.error.HTTPError as error:
        return error.code
