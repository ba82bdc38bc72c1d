"""A local Cloud Storage: what the real client needs to list objects and to read parts of them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeGcs"]


class FakeGcs:
    """The server.

    Args:
        objects: What there is, by `bucket/name`; asked at each request.
    """

    def __init__(self, objects: Callable[[], dict[str, bytes]]) -> None:
        fake = self
        self.objects = objects
        self.refuses: int | None = None
        """Status with which every request is refused."""

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.answer(self)

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        serve = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=serve, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        if self.refuses is not None:
            return self._send(handler, self.refuses, b"refused: storage.objects.list")
        parts = urlsplit(handler.path)
        found = re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?", parts.path)
        if found is None:
            return self._send(handler, 501, b"the fake does not know this")
        bucket, name = found[1], found[2]
        if name is None:
            prefix = parse_qs(parts.query).get("prefix", [""])[0]
            items = [
                {"kind": "storage#object", "bucket": bucket, "name": key.partition("/")[2], "size": str(len(data))}
                for key, data in sorted(self.objects().items())
                if key.startswith(f"{bucket}/{prefix}")
            ]
            return self._send(handler, 200, json.dumps({"kind": "storage#objects", "items": items}).encode())
        data = self.objects().get(f"{bucket}/{unquote(name)}")
        if data is None:
            return self._send(handler, 404, b"No such object")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)?", handler.headers.get("Range", "bytes=0-"))
        assert wanted is not None
        start, end = int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else len(data)
        part = data[start:end]
        span = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
        return self._send(handler, 206, part, {"Content-Range": span})

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
