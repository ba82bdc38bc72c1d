"""A load that writes rows as it reads them leaves what a load that keeps them first leaves, and says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.engine.reading.formats import json_rows
from starlake_dagster_assets.engine.writing import ingest

HEADER = b"id,v,ts\n"
CLEAN = HEADER + b"".join(b"%d,a,%d\n" % (number, number % 7) for number in range(3000))
FILES = {
    "clean": CLEAN,
    "refused rows": CLEAN.replace(b"\n1500,a,", b"\nx,a,").replace(b"\n2900,a,2", b"\n2900,a,y"),
    "an open quote in the middle": CLEAN.replace(b"\n1500,a,", b'\n1500,"a,'),
    "a field too many in the middle": CLEAN.replace(b"\n1500,a,", b"\n1500,a,b,"),
    "bytes that are no text": CLEAN.replace(b"\n1500,a,", b"\n1500,\xff,"),
    "another header": CLEAN.replace(b"id,v,ts", b"a,b,c"),
    "nothing": b"",
    "a header": HEADER,
}
PROJECTS: dict[str, tuple[str, str, str]] = {
    "append": ("", "", ""),
    "overwrite, native": ("loader: native", "writeStrategy: {type: OVERWRITE}", ""),
    "all or nothing": ("rejectAllOnError: true", "", ""),
    "replay files": ("sinkReplayToFile: true", "", ""),
    "audit in a file of its own": ("audit: {sink: {connectionRef: other}}", "", ""),
    "an expectation that fails": ("expectations: {failOnError: true}", "", "expectations: [{expect: 'rows(3002)'}]"),
    "statements after": ("", "", "postsql: ['delete from {{SL_THIS}} where id > 2000']"),
    "a statement that fails": ("", "", "postsql: ['select error(''boom'')']"),
}


def load(bench: Any, project: str, content: bytes) -> dict[str, Any]:
    """What a load leaves and says; the table has two rows already, and lacks a column."""
    application, metadata, extra = PROJECTS[project]
    bench.application(application)
    text = (bench.root / "metadata/application.sl.yml").read_text()
    other = '    other: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/other.db"}}\n'
    bench.write("metadata/application.sl.yml", text.replace("  connections:\n", "  connections:\n" + other))
    bench.write(
        "metadata/expectations/c.j2", "{% macro rows(n) %}select count(*) - {{ n }} from {{ sl_this }}{% endmacro %}"
    )
    bench.table(metadata=metadata, extra=extra)
    bench.query(
        "CREATE SCHEMA shop; CREATE TABLE shop.orders AS SELECT -1 AS id, 'old' AS v UNION ALL SELECT -2, 'old'"
    )
    bench.file("orders_1.csv")
    (bench.root / "datasets/stage/shop/orders_1.csv").write_bytes(content)
    code = bench.run("load", SL_JOB_ID="job")
    rows = bench.query("SELECT * FROM shop.orders ORDER BY rowid")
    left = {
        "code": code,
        "rows": rows,
        "said": [plain(line, bench.root) for line in (*bench.stdout, "--", *bench.stderr)],
        "areas": [bench.files(area) for area in ("stage", "ingesting", "archive", "unresolved")],
        "replay": [file.read_bytes() for file in sorted(bench.root.glob("datasets/replay/**/*.replay"))],
    }
    for name in ("duckdb", "other"):
        path = bench.root / f"datasets/{name}.db"
        left[name] = audit(bench, path) if path.exists() else None
    return left


def audit(bench: Any, path: Path) -> dict[str, list[Any]]:
    import duckdb

    with duckdb.connect(str(path)) as con:
        named = con.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'audit' ORDER BY table_name"
        ).fetchall()
        tables = [str(row[0]) for row in named]
        kept = "SELECT COLUMNS(c -> c NOT IN ('TIMESTAMP', 'DURATION', 'SCHEDULED_DATE')) FROM audit."
        found = {name: con.execute(f"{kept}{name} ORDER BY rowid").fetchall() for name in tables}
    return {name: [tuple(plain(str(item), bench.root) for item in row) for row in rows] for name, rows in found.items()}


def plain(text: str, root: Path) -> str:
    """Without what differs from one load to the next: places and times."""
    text = re.sub(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d ", "", text.replace(str(root), "ROOT"))
    return re.sub(r"\d+ms|\.\d{14}\.replay", "", text)


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("file", FILES)
def test_a_load_leaves_and_says_the_same(
    make_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, project: str
) -> None:
    once = load(make_bench(tmp_path / "once"), project, FILES[file])
    monkeypatch.setattr(ingest, "_may_stream", lambda job: False)
    kept = load(make_bench(tmp_path / "kept"), project, FILES[file])
    assert once == kept


@pytest.mark.parametrize(
    ("file", "metadata", "presql", "reads"),
    [
        ("clean", "", "", 0),
        ("refused rows", "", "", 0),
        ("an open quote in the middle", "", "", 1),
        ("clean", "", "presql: ['select 1']", 1),
        ("clean", "writeStrategy: {type: UPSERT_BY_KEY, key: [id]}", "", 1),
    ],
    ids=["clean", "refused rows", "a broken line", "statements before", "a key"],
)
def test_which_rows_are_kept_first(
    bench: Any, monkeypatch: pytest.MonkeyPatch, file: str, metadata: str, presql: str, reads: int
) -> None:
    kept: list[object] = []
    read = ingest.read_incoming
    monkeypatch.setattr(ingest, "read_incoming", lambda *given, **more: kept.append(given) or read(*given, **more))
    bench.table(metadata=metadata, extra=presql)
    bench.file("orders_1.csv")
    (bench.root / "datasets/stage/shop/orders_1.csv").write_bytes(FILES[file])
    bench.ok("load")
    assert len(kept) == reads
    refused = 0 if file == "clean" else 2 if file == "refused rows" else 1
    assert bench.query("SELECT count(*), count(DISTINCT id) FROM shop.orders") == [(3000 - refused, 3000 - refused)]


def test_json_strings_that_look_like_objects_cost_one_more_reading(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    readings: list[bool] = []
    columns = json_rows.json_columns

    def noted(*given: Any, as_text: bool) -> Any:
        readings.append(as_text)
        return columns(*given, as_text=as_text)

    monkeypatch.setattr(json_rows, "json_columns", noted)
    lines = [f'{{"id": {number}, "v": "{"[x]" if number == 2900 else "a"}", "ts": 1}}' for number in range(3000)]
    bench.table()
    declared = bench.root / "metadata/load/shop/orders.sl.yml"
    declared.write_text(declared.read_text().replace("format: DSV", "format: JSON"))
    bench.file("orders_1.csv")
    (bench.root / "datasets/stage/shop/orders_1.csv").write_text("\n".join(lines))
    bench.ok("load")
    assert readings == [True, False]
    assert bench.query("SELECT count(*), count(*) FILTER (v = '[x]') FROM shop.orders") == [(3000, 1)]
