"""A local Cloud Storage: what the real client needs to list objects and to read parts of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.servers import LocalServer

__all__ = ["FakeGcs"]


class FakeGcs(LocalServer):
    """The server.

    Args:
        objects: What there is, by `bucket/name`; asked at each request.
    """

    def __init__(self, objects: Callable[[], dict[str, bytes]]) -> None:
        self.objects = objects
        self.refuses: int | None = None
        """Status with which every request is refused."""
        self.serve("GET")

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
