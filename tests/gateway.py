"""A proxy and gateway before a simulated server: it lets calls pass that bring what it wants."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_OF_ONE_CONNECTION = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@contextmanager
def gateway(server: str, wanted: Mapping[str, str]) -> Iterator[str]:
    """Run a gateway, and yield its address.

    Args:
        server: The address of the server behind it. Calls of all hosts go there.
        wanted: The headers that each call must have. One without them gets 403.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if any(self.headers.get(name) != value for name, value in wanted.items()):
                self._answer(403, [("Content-Type", "text/plain")], b"the gateway knows you not")
                return
            asked = urlsplit(self.path)
            target = asked.path + (f"?{asked.query}" if asked.query else "")
            sent = {name: value for name, value in self.headers.items() if name not in wanted}
            connection = http.client.HTTPConnection(urlsplit(server).netloc)
            try:
                connection.request(self.command, target, body or None, sent)
                answer = connection.getresponse()
                self._answer(answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _OF_ONE_CONNECTION:
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _pass  # noqa: N815 - names of `http.server`

        def log_message(self, *_: Any) -> None:
            pass  # a test's output is for the code under test

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
