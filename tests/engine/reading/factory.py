"""Tables and projects made by hand, for tests of the engine's reading side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from starlake_dagster_assets.engine.reading.read import read_incoming
from starlake_dagster_assets.project.model.project import (
    Application,
    Attribute,
    Location,
    Metadata,
    Project,
    Table,
    TypeDef,
)

NUMBER = r"[-+]?\d*\.?\d+[Ee]?[-+]?\d*"
MOMENTS = [
    "basic_iso_date",
    "iso_local_date",
    "iso_offset_date",
    "iso_date",
    "iso_local_date_time",
    "iso_offset_date_time",
    "iso_zoned_date_time",
    "iso_date_time",
    "iso_ordinal_date",
    "iso_week_date",
    "iso_instant",
    "rfc_1123_date_time",
]


def packaged_types() -> dict[str, TypeDef]:
    """The types of the format reference, section 6.3."""
    rows = [
        ("string", "string", ".*", "VARCHAR"),
        ("variant", "variant", ".+", "JSON"),
        ("int", "long", r"[-|\+|0-9][0-9]*", "INTEGER"),
        ("integer", "long", r"[-|\+|0-9][0-9]*", "INTEGER"),
        ("long", "long", r"-?\d+", "BIGINT"),
        ("short", "short", r"-?\d+", "SMALLINT"),
        ("byte", "byte", ".", "TINYINT"),
        ("double", "double", NUMBER, "DOUBLE"),
        ("decimal", "decimal", NUMBER, "DECIMAL"),
        ("boolean", "boolean", "(?i)true|yes|[y1]|t<-TF->(?i)false|no|[n0]|f", "BOOLEAN"),
        ("date", "date", "yyyy-MM-dd", "DATE"),
        ("timestamp", "timestamp", "yyyy-MM-dd HH:mm:ss", "TIMESTAMPTZ"),
        *[(name, "timestamp", name.upper(), "TIMESTAMPTZ") for name in MOMENTS],
    ]
    return {
        name: TypeDef(name=name, primitive_type=kind, pattern=pattern, ddl_mapping={"duckdb": ddl})
        for name, kind, pattern, ddl in rows
    }


def attribute(name: str, kind: str = "string", **more: Any) -> Attribute:
    return Attribute(name=name, type=kind, **more)


def table(
    *attributes: Attribute,
    filter: str | None = None,  # noqa: A002 - the key's own name
    name: str = "t",
    pattern: str = ".*",
    **metadata: Any,
) -> Table:
    metadata.setdefault("separator", ",")
    metadata.setdefault("with_header", metadata.get("format") != "POSITION")
    return Table(
        domain="d",
        domain_name="d",
        stem=name,
        name=name,
        final_domain="d",
        final_name=name,
        pattern=pattern,
        attributes=attributes,
        metadata=Metadata(**metadata),
        filter=filter,
        location=Location(file=f"metadata/load/d/{name}.sl.yml"),
        digest="x",
    )


def project(*types: TypeDef, datasets: str = "/nowhere", **application: Any) -> Project:
    return Project(
        root="/nowhere",
        env=None,
        variables={},
        application=Application(datasets=datasets, **application),
        types={**packaged_types(), **{item.name: item for item in types}},
    )


class Read:
    """What came out of a reading, as Python values."""

    def __init__(self, target: Table, *files: Path, within: Project | None = None, con: Any = None) -> None:
        self.con = con or duckdb.connect(config={"threads": 2})
        self.con.execute("SET TimeZone = 'UTC'")
        self.incoming = read_incoming(self.con, within or project(), target, files)
        self.rows: list[tuple[Any, ...]] = self.con.execute(f"SELECT * FROM {self.incoming.relation}").fetchall()
        self.types = [row[1] for row in self.con.execute(f"DESCRIBE SELECT * FROM {self.incoming.relation}").fetchall()]
        rejects = self.incoming.rejects
        self.errors: list[str] = (
            [row[0] for row in self.con.execute(f"SELECT ERROR FROM {rejects}").fetchall()] if rejects else []
        )
        assert self.incoming.input == self.incoming.accepted + self.incoming.rejected
        assert len(self.rows) == self.incoming.accepted - self.incoming.filtered
        assert len(self.errors) == self.incoming.rejected

    @property
    def reasons(self) -> list[str]:
        """The errors without their frame."""
        return [text.removeprefix("ERR -> \n").split("\n\nFILE -> ")[0] for text in self.errors]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
