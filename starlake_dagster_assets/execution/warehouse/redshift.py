"""Redshift dialect for SQLAlchemy 2: PostgreSQL's dialect without the features that Redshift lacks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

__all__ = ["RedshiftDialect"]

_COLUMNS = sa.text(
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position"
)
_TYPES: dict[str, type[Any]] = {"date": sa.Date, "timestamp without time zone": sa.DateTime}


class RedshiftDialect(PGDialect_psycopg2):
    """Dialect that reads tables from `information_schema`: PostgreSQL's dialect reads newer catalogs."""

    name = "redshift"
    supports_statement_cache = True

    def _set_backslash_escapes(self, connection: Any) -> None:
        """Turns backslash escapes off: Redshift has no `standard_conforming_strings`, which SQLAlchemy reads here."""
        self._backslash_escapes = False

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        """Whether a table or view exists."""
        return bool(self.get_columns(connection, table_name, schema))

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """Returns the columns of a table or view."""
        found = connection.execute(_COLUMNS, {"schema": schema or "public", "name": table_name})
        return [
            {"name": name, "type": _type(str(kind)), "nullable": nullable == "YES", "default": None}
            for name, kind, nullable in found
        ]


def _type(name: str) -> Any:
    """Returns the type of a column; a type other than a date or timestamp keeps its name."""
    kind = _TYPES.get(name.lower())
    if kind is not None:
        return kind()
    if name.lower() == "timestamp with time zone":
        return sa.DateTime(timezone=True)
    return _Named(name)


class _Named(sa.types.UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **kw: Any) -> str:
        """Returns the name of the type in upper case."""
        return self.name.upper()
