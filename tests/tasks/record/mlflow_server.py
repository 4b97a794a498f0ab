"""A real MLflow server, which can be stopped, and a stand-in before it that loses requests and answers."""

import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import requests

from tests.postgres import free_port


class MlflowServer:
    """`mlflow server` on a free port, artefacts through the server; its data stay while it is down."""

    def __init__(self, folder: Path, store: str = "sqlite:///served.db") -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._store, self._port = folder, store, free_port()
        self.uri = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    def start(self) -> None:
        options = ["--workers", "1", "--backend-store-uri", self._store, "--serve-artifacts"]
        options += ["--artifacts-destination", "served", "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options],
            cwd=self._folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # eight processes that do nothing here
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_well()

    def stop(self, how: signal.Signals) -> None:
        """End the server and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        self._process.wait(30)

    def interrupt(self, how: signal.Signals, seconds: float) -> None:
        """Be away for a while."""
        if how == signal.SIGSTOP:
            os.killpg(self._process.pid, how)
            time.sleep(seconds)
            os.killpg(self._process.pid, signal.SIGCONT)
        else:
            self.stop(how)
            self.start()

    def _wait_until_well(self) -> None:
        for _ in range(600):
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.uri}/health", timeout=5).ok:
                    return
            time.sleep(0.1)
        raise AssertionError("the MLflow server does not start")


class Proxy:
    """Passes requests on, and spoils some of them, at random distances, in all ways in turn."""

    WAYS = ("503 before", "503 after", "closed before", "closed after", "silent before", "silent after")

    def __init__(self, uri: str, spoilt: int) -> None:
        self._target, self._spoilt, self._left = urlsplit(uri).netloc, spoilt, 5
        self._random = random.Random(0)  # noqa: S311 - the same disturbances every time
        self.disturbed: list[str] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                way = proxy.next_way()
                status, headers, content = 503, [], b"down"
                if not way.endswith("before"):
                    status, headers, content = proxy.ask(self.command, self.path, body, dict(self.headers))
                self.close_connection = bool(way)
                if way.startswith("silent"):
                    time.sleep(2.5)  # longer than the client waits
                if way.startswith(("silent", "closed")):
                    return
                self.send_response(503 if way else status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def next_way(self) -> str:
        self._left -= 1
        if self._left > 0 or len(self.disturbed) == self._spoilt:
            return ""
        self._left = self._random.randint(1, 25)
        self.disturbed.append(self.WAYS[len(self.disturbed) % len(self.WAYS)])
        return self.disturbed[-1]

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, list, bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=60)
        connection.request(method, path, body, {**headers, "Host": self._target})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
