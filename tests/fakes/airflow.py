"""A local Airflow 2 for the real client of dagster-airlift: the stable REST API, as its OpenAPI description has it."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.servers import LocalServer

__all__ = ["FakeAirflow"]

_TIMES = ("end_date", "start_date", "execution_date", "duration")
_FORMS = {
    "dagRuns": {
        *("dag_ids", "order_by", "page_limit", "page_offset", "states"),
        *(f"{name}_{end}" for name in _TIMES[:3] for end in ("gte", "lte")),
    },
    "taskInstances": {
        *("dag_ids", "dag_run_ids", "task_ids", "page_limit", "page_offset", "state", "pool", "queue", "executor"),
        *(
            f"{name}_{end}"
            for name in ("end_date", "start_date", "execution_date", "duration")
            for end in ("gte", "lte")
        ),
    },
}
_EVENTS = {"limit", "offset", "order_by", "dataset_id", "source_dag_id", "source_task_id", "source_run_id"}
_MOST = 100


class FakeAirflow(LocalServer):
    """The server. `dags` are tasks by DAG; `run` records a run that has ended.

    Args:
        major: 2; 3 has no `/api/v1`.
        dags: Ids of tasks by id of the DAG.
    """

    def __init__(self, dags: dict[str, list[str]], major: int = 2) -> None:
        self.dags, self.major = dags, major
        self.runs: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.refuses = ""
        self.serve("GET", "POST")

    def run(self, dag: str, states: dict[str, str], logical_date: datetime, **given: Any) -> str:
        """Records a run.

        Args:
            dag: Its DAG.
            states: States of its tasks.
            logical_date: The start of its interval.
            given: `events`: extras of the events of datasets, by (task, URI); `state` of the run.
        """
        number = len(self.runs)
        run_id, at = f"scheduled__{logical_date.isoformat()}", datetime.now(timezone.utc) - timedelta(seconds=1)
        both = {"dag_id": dag, "dag_run_id": run_id, "logical_date": logical_date.isoformat(), "note": None}
        times = {"start_date": at.isoformat(), "end_date": at.isoformat()}
        more = {"conf": {}, "run_type": "scheduled", "state": given.get("state", "success")}
        self.runs.append({**both, **times, **more, "execution_date": logical_date.isoformat()})
        for task, state in states.items():
            one = {**both, **times, "task_id": task, "state": state, "try_number": 1, "map_index": -1}
            self.tasks.append({**one, "execution_date": logical_date.isoformat()})
        for (task, uri), extra in given.get("events", {}).items():
            source = {"source_dag_id": dag, "source_task_id": task, "source_run_id": run_id, "source_map_index": -1}
            self.events.append(
                {**source, "dataset_uri": uri, "extra": extra, "id": number, "timestamp": at.isoformat()}
            )
        return run_id

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        parts = urlsplit(handler.path)
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)) or b"{}")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if handler.headers.get("Authorization") != f"Basic {base64.b64encode(b'admin:admin').decode()}":
            return self._send(handler, 401, _problem("Unauthorized", "basic auth"))
        if self.refuses and self.refuses in parts.path:
            return self._send(handler, 403, _problem("Forbidden", "the account may not read this"))
        path = [unquote(one) for one in parts.path.strip("/").split("/")]
        if path[:2] != ["api", "v1"] or self.major != 2:
            return self._send(handler, 404, _problem("Not Found", parts.path))
        code, content = self._found(handler.command, path[2:], query, body)
        return self._send(handler, code, content)

    def _found(self, verb: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if verb == "GET" and path == ["dags"]:
            dags = [{"dag_id": dag, "file_token": dag, "is_paused": False} for dag in self.dags]
            return 200, {"dags": _page(dags, query), "total_entries": len(dags)}
        if verb == "GET" and path[:1] == ["dags"] and path[2:] == ["tasks"]:
            if path[1] not in self.dags:
                return 404, _problem("DAG not found", path[1])
            return 200, {"tasks": [{"task_id": one, "downstream_task_ids": []} for one in self.dags[path[1]]]}
        if verb == "GET" and path[:1] == ["dagSources"]:
            return 200, {"content": "# the file"}
        if verb == "GET" and path == ["datasets", "events"]:
            if unknown := query.keys() - _EVENTS:
                return 400, _problem("Bad Request", f"Extra query parameter(s) {sorted(unknown)}")
            wanted = {name: value for name, value in query.items() if name.startswith("source_")}
            found = [one for one in self.events if all(one[name] == value for name, value in wanted.items())]
            return 200, {"dataset_events": _page(found, query), "total_entries": len(found)}
        if verb == "POST" and path[:2] == ["dags", "~"] and path[-1:] == ["list"]:
            return self._listed(path[-2], body)
        return 404, _problem("Not Found", "/".join(path))

    def _listed(self, kind: str, body: dict[str, Any]) -> tuple[int, Any]:
        if unknown := body.keys() - _FORMS[kind]:
            return 400, _problem("Bad Request", f"{{'{sorted(unknown)[0]}': ['Unknown field.']}}")
        wanted = {"dag_ids": "dag_id", "dag_run_ids": "dag_run_id", "task_ids": "task_id", "states": "state"}
        found = [
            one
            for one in (self.runs if kind == "dagRuns" else self.tasks)
            if all(one[field] in body[name] for name, field in wanted.items() if name in body)
            and body.get("end_date_gte", "") <= one["end_date"] <= body.get("end_date_lte", "9")
        ]
        page = {"limit": body.get("page_limit", _MOST), "offset": body.get("page_offset", 0)}
        name = "dag_runs" if kind == "dagRuns" else "task_instances"
        return 200, {name: _page(found, page), "total_entries": len(found)}

    def _send(self, handler: BaseHTTPRequestHandler, code: int, content: Any) -> None:
        data = json.dumps(content).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json" if code == 200 else "application/problem+json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def _page(found: list[Any], query: dict[str, Any]) -> list[Any]:
    start = int(query.get("offset", 0))
    return found[start : start + min(int(query.get("limit", _MOST)), _MOST)]


def _problem(title: str, detail: str) -> dict[str, str]:
    return {"title": title, "detail": detail, "type": "about:blank"}
