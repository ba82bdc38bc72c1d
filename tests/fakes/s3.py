"""A local S3 for the real s3fs: what it needs to list a prefix, to look at an object and to delete it."""

from __future__ import annotations

from datetime import datetime, timezone
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.fakes.servers import LocalServer

__all__ = ["FakeS3"]


class FakeS3(LocalServer):
    """The server. `objects` are by bucket, then by key; each put has a time of its own."""

    def __init__(self, *buckets: str) -> None:
        self.objects: dict[str, dict[str, tuple[bytes, datetime]]] = {bucket: {} for bucket in buckets}
        self.refuses = ""
        self._puts = 0
        self.serve("GET", "HEAD", "DELETE")

    def put(self, bucket: str, key: str, data: bytes = b"id\n1\n") -> None:
        """An object that is written."""
        self._puts += 1
        self.objects[bucket][key] = (data, datetime.fromtimestamp(1_700_000_000 + self._puts, timezone.utc))

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        parts = urlsplit(handler.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if self.refuses:
            return self._error(handler, 403, self.refuses)
        if bucket not in self.objects:
            return self._error(handler, 404, "NoSuchBucket")
        if not key:
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            return self._send(handler, 200, b"" if handler.command == "HEAD" else self._listing(bucket, query))
        found = self.objects[bucket].get(key)
        if handler.command == "DELETE":
            self.objects[bucket].pop(key, None)
            return self._send(handler, 204, b"")
        if found is None:
            return self._error(handler, 404, "NoSuchKey")
        data, at = found
        headers = {"ETag": f'"{md5(data, usedforsecurity=False).hexdigest()}"'}
        headers["Last-Modified"] = f"{at:%a, %d %b %Y %H:%M:%S GMT}"
        return self._send(handler, 200, data, headers)

    def _listing(self, bucket: str, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        shown: list[str] = []
        folders: set[str] = set()
        for key, (data, at) in sorted(self.objects[bucket].items()):
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            etag = md5(data, usedforsecurity=False).hexdigest()
            shown.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>&quot;{etag}&quot;</ETag>"
                f"<LastModified>{at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)
        )
        text = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{''.join(shown)}{common}</ListBucketResult>"
        )
        return text.encode()

    def _error(self, handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}, says the fake</Message></Error>'
        self._send(handler, status, text.encode())

    def _send(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)
