"""The guard before a server, and Prefect's server behind it: foreign pages and names are refused."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from flows.guard import Guard, own


async def _answer(_request: object) -> PlainTextResponse:
    return PlainTextResponse("answered")


async def _talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("answered")
    await websocket.close()


APP = Starlette(routes=[Route("/", _answer, methods=["GET", "POST", "OPTIONS"]), WebSocketRoute("/talk", _talk)])
OWN = ["127.0.0.1:4300", "localhost:4300", "[::1]:4300", "LOCALHOST:4300"]


@pytest.fixture
def client() -> TestClient:
    return TestClient(Guard(APP, own("127.0.0.1", 4300)), base_url="http://127.0.0.1:4300")


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_own_names_and_pages_are_answered(client: TestClient, method: str) -> None:
    for host in OWN:
        assert client.request(method, "/", headers={"Host": host}).text == "answered"
    for host, page in itertools.product(OWN, OWN):
        assert client.request(method, "/", headers={"Host": host, "Origin": f"http://{page}"}).text == "answered"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://stranger.example",
        "http://stranger.example:4300",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:8888",
        "https://127.0.0.1:4300",
        "http://127.0.0.1:4300.stranger.example",
        "http://localhost:4300@stranger.example",
    ],
)
def test_pages_of_others_are_refused(client: TestClient, method: str, origin: str) -> None:
    answer = client.request(method, "/", headers={"Origin": origin})
    assert (answer.status_code, answer.text) == (403, "this server does not answer to pages of others\n")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["stranger.example", "stranger.example:4300", "127.0.0.1", "localhost:80", "", "10.0.0.1:4300"]
)
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert (answer.status_code, answer.text) == (403, "this server is not asked for under that name\n")


def test_of_two_names_or_pages_none_helps_the_other(client: TestClient) -> None:
    good, bad = b"http://127.0.0.1:4300", b"http://stranger.example"
    for pair in ([good, bad], [bad, good]):
        assert client.get("/", headers=[(b"Origin", value) for value in pair]).status_code == 403
    assert refused([(b"host", b"127.0.0.1:4300"), (b"host", b"stranger.example")])
    assert refused([])


def refused(headers: list[tuple[bytes, bytes]]) -> bool:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    asyncio.run(Guard(APP, own("127.0.0.1", 4300))(scope, None, send))
    return sent[0]["status"] == 403


def test_sockets_of_other_pages_are_refused(client: TestClient) -> None:
    with client.websocket_connect("ws://127.0.0.1:4300/talk", headers={"Origin": "http://localhost:4300"}) as socket:
        assert socket.receive_text() == "answered"
    for headers in ({"Origin": "https://stranger.example"}, {"Host": "stranger.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:4300/talk", headers=headers):
            pass


def test_a_proxy_before_it_is_named_by_its_origin() -> None:
    pages = ["https://prefect.example", " https://b.example:8443/ ", "*", ""]
    guard = Guard(APP, own("0.0.0.0", 4300, pages))  # noqa: S104
    client = TestClient(guard, base_url="http://127.0.0.1:4300")
    for page in ("https://prefect.example", "https://b.example:8443"):
        host = page.removeprefix("https://")
        assert client.post("/", headers={"Host": host, "Origin": page}).text == "answered"
    for headers in ({"Origin": "https://stranger.example"}, {"Host": "0.0.0.0:4300"}, {"Host": "b.example"}):
        assert client.post("/", headers=headers).status_code == 403


def test_port_80_needs_no_port() -> None:
    client = TestClient(Guard(APP, own("127.0.0.1", 80)), base_url="http://127.0.0.1")
    assert client.get("/", headers={"Origin": "http://localhost"}).text == "answered"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40))
def test_whatever_is_not_listed_is_refused(name: str) -> None:
    listed = own("127.0.0.1", 4300)
    assert refused([(b"host", name.encode())]) == (name.lower() not in listed.hosts)
    both = [(b"host", b"localhost:4300"), (b"origin", name.encode())]
    assert refused(both) == (name.lower() not in listed.origins)
