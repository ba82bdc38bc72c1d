"""A local BigQuery for the real client: its queries are run by DuckDB, after sqlglot has translated them."""

from __future__ import annotations

import json
import re
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import duckdb
import sqlglot

from tests.fakes.servers import LocalServer

__all__ = ["FakeBigQuery"]

_TYPES = {"BOOLEAN": "BOOLEAN", "INTEGER": "INTEGER", "BIGINT": "INTEGER", "HUGEINT": "INTEGER", "DATE": "DATE"}
_TYPES |= {"TIMESTAMP": "DATETIME", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}


class FakeBigQuery(LocalServer):
    """The server.

    Attributes:
        con: DuckDB, in which the catalog `p` is the project.
        queries: What was asked.
    """

    def __init__(self) -> None:
        self.con = duckdb.connect()
        self.con.execute("ATTACH ':memory:' AS p")
        self.queries: list[str] = []
        self._lock = threading.Lock()
        self.serve("GET", "POST")

    def close(self) -> None:
        """Ends the server and the database."""
        super().close()
        self.con.close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        size = int(handler.headers["Content-Length"]) if handler.command == "POST" else 0
        body: dict[str, Any] = json.loads(handler.rfile.read(size)) if size else {}
        with self._lock:
            status, told = self._told(handler.path.partition("?")[0], body)
        text = json.dumps(told).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def _told(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path.endswith("/projects/p/queries"):
            return self._query(body)
        if found := re.search(r"/projects/p/datasets/([^/]+)/tables/([^/]+)/data$", path):
            rows = self.con.execute(f'SELECT * FROM p."{found[1]}"."{found[2]}"').fetchall()
            told = [{"f": [{"v": _text(value)} for value in row]} for row in rows]
            return 200, {"totalRows": str(len(told)), "rows": told}
        if found := re.search(r"/projects/p/datasets/([^/]+)/tables/([^/]+)$", path):
            return self._table(found[1], found[2])
        return 501, {"error": {"message": f"the fake does not know {path}"}}

    def _query(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.queries.append(body["query"])
        given = {one["name"]: one["parameterValue"]["value"] for one in body.get("queryParameters", [])}
        sql = sqlglot.transpile(body["query"], read="bigquery", write="duckdb")[0]
        try:
            done = self.con.execute(sql, {name: value for name, value in given.items() if f"${name}" in sql})
        except duckdb.CatalogException as error:
            return 404, {"error": {"message": f"Not found: Table {error}", "errors": [{"reason": "notFound"}]}}
        except duckdb.Error as error:
            return 400, {"error": {"message": str(error), "errors": [{"reason": "invalidQuery"}]}}
        fields = [{"name": one[0], "type": _TYPES.get(str(one[1]), "STRING")} for one in done.description]
        rows = [{"f": [{"v": _text(value)} for value in row]} for row in done.fetchall()]
        reference = {"projectId": "p", "jobId": "job", "location": "EU"}
        told = {"jobComplete": True, "schema": {"fields": fields}, "rows": rows, "totalRows": str(len(rows))}
        return 200, {**told, "jobReference": reference, "queryId": "q"}

    def _table(self, schema: str, table: str) -> tuple[int, dict[str, Any]]:
        try:
            described = self.con.execute(f'DESCRIBE p."{schema}"."{table}"').fetchall()
        except duckdb.CatalogException:
            return 404, {"error": {"message": f"Not found: Table p:{schema}.{table}"}}
        view = self.con.execute(
            "select count(*) from duckdb_views() where schema_name = ? and view_name = ?", [schema, table]
        ).fetchall()[0][0]
        fields = [{"name": one[0], "type": _TYPES.get(one[1], "STRING")} for one in described]
        told: dict[str, Any] = {"type": "VIEW" if view else "TABLE", "schema": {"fields": fields}}
        if not view:
            told["numRows"] = str(self.con.execute(f'select count(*) from p."{schema}"."{table}"').fetchall()[0][0])
        told["tableReference"] = {"projectId": "p", "datasetId": schema, "tableId": table}
        return 200, told


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
