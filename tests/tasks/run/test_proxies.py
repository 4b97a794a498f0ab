"""Proxies of the environment are not asked for what runs on this machine."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.run.proxies import spare_loopback

ROOT = Path(__file__).resolve().parents[3]
SPARED = "127.0.0.1,localhost,::1"
CLIENTS = {
    "urllib": "import urllib.request as u; print(u.urlopen(url).read().decode())",
    "requests": "import requests; print(requests.get(url).text)",
    "httpx": "import httpx; print(httpx.get(url).text)",
}


@pytest.mark.parametrize(
    ("given", "expected", "was_proxied"),
    [
        ({}, {}, False),
        ({"NO_PROXY": "a"}, {"NO_PROXY": "a"}, False),
        ({"http_proxy": ""}, {"http_proxy": ""}, False),
        ({"HTTP_PROXY": "p"}, {"HTTP_PROXY": "p", "no_proxy": SPARED}, True),
        (
            {"ALL_PROXY": "p", "NO_PROXY": "a, localhost"},
            {"ALL_PROXY": "p", "no_proxy": "a,localhost,127.0.0.1,::1"},
            True,
        ),
        (
            {"https_proxy": "p", "no_proxy": "a", "NO_PROXY": "b"},
            {"https_proxy": "p", "no_proxy": "a,127.0.0.1,localhost,::1"},
            True,
        ),
        ({"https_proxy": "p", "no_proxy": "*"}, {"https_proxy": "p", "no_proxy": "*"}, False),
    ],
)
def test_loopback_is_added_to_what_is_spared(
    given: dict[str, str], expected: dict[str, str], was_proxied: bool
) -> None:
    assert spare_loopback(given) == was_proxied
    if "no_proxy" in expected:
        expected["NO_PROXY"] = expected["no_proxy"]
    assert given == expected
    assert spare_loopback(given) is False
    assert given == expected


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"answered")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_clients_ask_this_machine_directly(address: str, proxy: str) -> None:
    names = ("http_proxy", "https_proxy", "all_proxy")
    proxies = dict.fromkeys((*names, *map(str.upper, names)), proxy)
    spared = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    code = f"import tasks; url = {address!r}; " + "; ".join(CLIENTS.values())
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=spared | proxies, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["answered"] * len(CLIENTS), done.stderr
