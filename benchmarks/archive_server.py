"""Serve one file over HTTP as CVAT's download endpoint does, at the kernel's speed.

`python benchmarks/archive_server.py FILE` listens on a free port of 127.0.0.1, prints the port
and serves FILE at every path, with `Range`, `If-Range` and `sendfile`, until its input ends.
It is a process of its own, so that the contenders share nothing with it but the socket.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class ArchiveHandler(BaseHTTPRequestHandler):
    """Answers every GET with the server's file, or a range of it."""

    protocol_version = "HTTP/1.1"
    archive: Path

    def log_message(self, *_: object) -> None:
        """Stay silent: the output carries the port and nothing else."""

    def do_GET(self) -> None:
        """Send the whole file or the range that was asked for."""
        with self.archive.open("rb") as file:
            stat = os.fstat(file.fileno())
            etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
            start, stop = 0, stat.st_size
            wanted = RANGE.fullmatch(self.headers.get("Range", ""))
            if wanted and self.headers.get("If-Range", etag) == etag:
                start, stop = _resolve(wanted, stat.st_size)
                if start >= stop:
                    self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, etag)
                    return
                self._head(
                    HTTPStatus.PARTIAL_CONTENT,
                    stop - start,
                    etag,
                    f"bytes {start}-{stop - 1}/{stat.st_size}",
                )
            else:
                self._head(HTTPStatus.OK, stop, etag)
            while start < stop:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, stop - start)

    def _head(
        self, status: HTTPStatus, length: int, etag: str, content_range: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.flush()


def _resolve(wanted: re.Match[str], size: int) -> tuple[int, int]:
    first, last = wanted.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def main() -> None:
    """Serve the file that the command line names until the input ends."""
    ArchiveHandler.archive = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), ArchiveHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
