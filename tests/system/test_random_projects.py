"""Projects of any names go the whole way: files, graph, Dagster's definitions, a run, rows in DuckDB."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions

APPLICATION = {
    "version": 1,
    "application": {
        "connectionRef": "duckdb",
        "connections": {
            "duckdb": {"type": "jdbc", "options": {"url": "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db"}},
        },
    },
}
ODD = ["order", "select", "group", "a b", "été", "x$y", "naïve-name", "a.b", 'say"so', "Ünï", "table", "x'y", "données"]
FIRST = st.sampled_from("abcdefgXYZ_")
WORD = st.builds(lambda first, rest: first + rest, FIRST, st.text("abcxyz0189_$", min_size=1, max_size=8))
NAMES = st.one_of(WORD, st.sampled_from(["order$", "select", "été", "naïve-name", "données", "a_b", "group"]))
COLUMNS = st.lists(st.one_of(WORD, st.sampled_from(ODD)), min_size=1, max_size=4, unique_by=str.lower)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)


@dataclass(frozen=True)
class Made:
    """A table of a random project: its names, its columns and the rows of its file."""

    domain: str
    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def unique(tables: Sequence[Made]) -> bool:
    """Whether Dagster can tell the tables apart once it has replaced what it refuses in a key."""
    keys = [
        "__".join("".join(c if c.isascii() and c.isalnum() else "_" for c in part) for part in (t.domain, t.name))
        for t in tables
    ]
    return len({key.lower() for key in keys}) == len(keys)


@st.composite
def projects(draw: st.DrawFn) -> list[Made]:
    made = []
    for _ in range(draw(st.integers(1, 3))):
        columns = draw(COLUMNS)
        rows = draw(st.lists(st.tuples(*[VALUES] * len(columns)), max_size=5))
        made.append(Made(draw(NAMES), draw(NAMES), columns, rows))
    return made


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")  # JSON is YAML


def lay_out(root: Path, tables: Sequence[Made]) -> None:
    metadata = root / "metadata"
    write(metadata / "application.sl.yml", APPLICATION)
    for number, table in enumerate(tables):
        load = {"name": table.domain, "metadata": {"directory": "{{SL_ROOT}}/datasets/incoming/" + table.domain}}
        write(metadata / "load" / table.domain / "_config.sl.yml", {"version": 1, "load": load})
        attributes = [{"name": column, "type": "string"} for column in table.columns]
        body = {"name": table.name, "pattern": rf"f{number}\.csv", "attributes": attributes}
        format_ = {"format": "DSV", "separator": ",", "escape": '"', "emptyIsNull": False}
        write(
            metadata / "load" / table.domain / f"{table.name}.sl.yml",
            {"version": 1, "table": {**body, "metadata": format_}},
        )
        incoming = root / "datasets" / "incoming" / table.domain / f"f{number}.csv"
        incoming.parent.mkdir(parents=True, exist_ok=True)
        with incoming.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerows([table.columns, *table.rows])
        sql = f"select count(*) as n from {quoted(table.domain)}.{quoted(table.name)}"
        task = metadata / "transform" / "outcome" / f"count_{number}.sql"
        task.parent.mkdir(parents=True, exist_ok=True)
        task.write_text(sql, encoding="utf-8")


@given(projects().filter(unique))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_any_names_and_values_reach_their_table(tables: list[Made]) -> None:
    root = Path(tempfile.mkdtemp(prefix="random-project-"))
    try:
        lay_out(root, tables)
        project = StarlakeProject(root, cache_dir=root / "cache")
        made = {node.id for node in project.graph.nodes.values() if node.kind != "external"}
        assert made == {f"{t.domain}.{t.name}" for t in tables} | {f"outcome.count_{i}" for i in range(len(tables))}
        reads = {(edge.source, edge.target) for edge in project.graph.edges if edge.via == "sql"}
        assert reads == {(f"{t.domain}.{t.name}", f"outcome.count_{i}") for i, t in enumerate(tables)}

        definitions = build_definitions(project, starlake=StarlakeDuckDB())
        with dg.DagsterInstance.ephemeral() as instance:
            assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
            result = dg.materialize(assets, resources=definitions.resources, instance=instance)
        assert len(result.get_asset_materialization_events()) == 2 * len(tables)

        with duckdb.connect(str(root / "datasets" / "duckdb.db"), read_only=True) as warehouse:
            for number, table in enumerate(tables):
                name = f"{quoted(table.domain)}.{quoted(table.name)}"
                columns = ", ".join(quoted(column) for column in table.columns)
                assert sorted(warehouse.execute(f"select {columns} from {name}").fetchall()) == sorted(
                    map(tuple, table.rows)
                )
                assert warehouse.execute(f"select n from outcome.count_{number}").fetchall() == [(len(table.rows),)]
    finally:
        shutil.rmtree(root)
