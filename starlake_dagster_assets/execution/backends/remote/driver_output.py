"""Reads the output of a Dataproc driver: objects in a bucket that grow while the driver runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.execution.backends.remote.gcp import gcp_http_client
from starlake_dagster_assets.execution.backends.remote.log_following import split_lines

__all__ = ["DriverOutput"]

_CALL: dict[str, Any] = {"retry": None, "timeout": 10}
"""Arguments of every call: the client's own retries would take two minutes and delay cancellation."""


@dataclass(frozen=True)
class DriverOutput:
    """Reader of driver output in Cloud Storage.

    Attributes:
        project: Google Cloud project.
        impersonate: Service account to act as.
        endpoint: URL of Cloud Storage; Google's own by default.
    """

    project: str
    impersonate: str | None = None
    endpoint: str | None = None

    def after(self, uri: str, cursor: str | None, *, over: bool) -> tuple[Sequence[Line], str | None]:
        """Returns the complete lines after a cursor, and the next cursor.

        Args:
            uri: `gs://bucket/…/driveroutput`: what the names of the objects begin with.
            cursor: Bytes read so far, over all objects.
            over: Whether the driver has ended: once nothing more arrives, the last line needs no line break.
        """
        read, _, size_before = (cursor or "0:0").partition(":")
        passed = int(read)
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        data, before = b"", 0
        for blob in sorted(self._client.list_blobs(bucket, prefix=prefix, **_CALL), key=lambda one: str(one.name)):
            size = int(blob.size or 0)
            if before + size > passed:
                data += blob.download_as_bytes(start=passed - before, end=size - 1, checksum=None, **_CALL)
                passed = before + size
            before += size
        rest = over and before == int(size_before)  # nothing was added since the last read
        whole = data if rest else data[: data.rfind(b"\n") + 1]
        lines = [Line(text) for text in split_lines(whole.decode("utf-8", "replace"))] if whole else []
        return lines, f"{int(read) + len(whole)}:{before}"

    def exists(self, uri: str) -> bool:
        """Whether an object exists.

        Args:
            uri: `gs://bucket/name`.
        """
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        return bool(self._client.bucket(bucket).blob(name).exists(**_CALL))

    def refresh(self) -> None:
        """Creates a new client, with the credentials that are valid now."""
        self.__dict__.pop("_client", None)

    @cached_property
    def _client(self) -> Any:
        from google.cloud import storage

        kind: type[Any] = storage.Client
        return gcp_http_client(kind, project=self.project, endpoint=self.endpoint, impersonate=self.impersonate)
