"""Keeps web pages of others away from a server on this machine, which any page in its user's browser can reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 - addresses to listen at, never those of a page


@dataclass(frozen=True)
class Own:
    """Under which names a server is asked for, and the pages that may ask.

    Attributes:
        hosts: What the header Host may say, for instance 127.0.0.1:4200.
        origins: What the header Origin may say, for instance http://127.0.0.1:4200.
    """

    hosts: frozenset[str]
    origins: frozenset[str]


def own(host: str, port: int, others: Sequence[str] = ()) -> Own:
    """The names of a server.

    Args:
        host: Where it listens.
        port: Its port.
        others: Further origins of pages that may ask, for instance those of a reverse proxy before it; `*` counts for
            nothing.

    Returns:
        This machine's names with that port, and the others.
    """
    names = {*LOOPBACK, *({host} - {*EVERYWHERE})}
    hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
    named = {origin.strip().lower().rstrip("/") for origin in others} - {"*", ""}
    origins = {f"http://{name}" for name in hosts} | named
    return Own(frozenset(hosts | {urlsplit(origin).netloc for origin in named}), frozenset(origins))


class Guard:
    """Refuses what another page asks for, and what is asked for under another name.

    A browser says in `Origin` which page sends a request that may change something; that no other page may read the
    answer does not keep it from being sent. `Host` is another name where a page has its own name point to this machine
    (DNS rebinding), and then its requests are of the same origin.
    """

    def __init__(self, app: ASGIApp, own: Own) -> None:
        """Stand before an app.

        Args:
            app: Whom the other requests are handed to.
            own: The names and pages that are not refused.
        """
        self._app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan" or (refusal := self._refusal(Headers(scope=scope))) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(reason=refusal)(scope, receive, send)
        else:
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send)

    def _refusal(self, headers: Headers) -> str | None:
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self._own.hosts:
            return "this server is not asked for under that name"
        if {origin.lower() for origin in headers.getlist("origin")} <= self._own.origins:
            return None
        return "this server does not answer to pages of others"
