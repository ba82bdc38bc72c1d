"""Lines of an execution in Cloud Logging, each read continuing after the last one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.execution.backends.remote.gcp import CALL
from starlake_dagster_assets.execution.backends.remote.log_following import split_lines
from starlake_dagster_assets.execution.backends.remote.read_quota import ReadQuota

__all__ = ["CloudLog"]

_OVERLAP = timedelta(seconds=20)
"""Entries arrive late and out of order: each query goes back that far, and drops what it has read before."""
_PAGE = 1000
_ATTEMPT = "run.googleapis.com/task_attempt"


@dataclass(frozen=True)
class CloudLog:
    """Query of the log of an execution.

    Attributes:
        client: A `LoggingServiceV2Client`.
        project: Google Cloud project of the log.
        query: Filter of the entries, in the query language of Cloud Logging.
        quota: Reads that this process may make.
    """

    client: Any
    project: str
    query: str
    quota: ReadQuota | None = None

    def after(self, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines after a cursor, and the next cursor."""
        latest, seen = _read(cursor)
        query = self.query
        if latest is not None:
            query += f' AND timestamp>="{(latest - _OVERLAP).isoformat()}"'
        request = {
            "resource_names": [f"projects/{self.project}"],
            "filter": query,
            "order_by": "timestamp asc",
            "page_size": _PAGE,
        }
        if self.quota is not None:
            self.quota.take()
        lines: list[Line] = []
        for entry in self.client.list_log_entries(request=request, **CALL):
            if entry.insert_id in seen:
                continue
            moment = _moment(entry)
            latest = moment if latest is None else max(latest, moment)
            seen[entry.insert_id] = moment
            lines.extend(_lines(entry))
        if latest is None:
            return lines, cursor
        kept = {name: moment.isoformat() for name, moment in seen.items() if moment >= latest - _OVERLAP}
        return lines, json.dumps({"latest": latest.isoformat(), "seen": kept})


def _read(cursor: str | None) -> tuple[datetime | None, dict[str, datetime]]:
    if cursor is None:
        return None, {}
    position: Mapping[str, Any] = json.loads(cursor)
    seen = {name: datetime.fromisoformat(text) for name, text in position["seen"].items()}
    return datetime.fromisoformat(position["latest"]), seen


def _moment(entry: Any) -> datetime:
    stamp = entry.timestamp
    return datetime.fromtimestamp(stamp.timestamp(), tz=timezone.utc)


def _lines(entry: Any) -> list[Line]:
    payload = entry.json_payload
    text = entry.text_payload or (str(payload.get("message", "")) if payload else "")
    stream = "stdout" if entry.log_name.endswith("stdout") else "stderr"
    attempt = str(entry.labels.get(_ATTEMPT, "0"))
    return [Line(part, stream, attempt=int(attempt) if attempt.isdigit() else 0) for part in split_lines(text)]
