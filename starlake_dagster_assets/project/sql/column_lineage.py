"""Column lineage of one SQL text: the source columns of each output column."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlake_dagster_assets.project.sql.parsing import SqlError, Tree, parse_statements, sql_dialects
from starlake_dagster_assets.project.sql.rewriting import expand_stars, name_tables_of_functions
from starlake_dagster_assets.project.sql.scopes import UNKNOWN_COLUMN, ScopeReader, find_scope_nodes

__all__ = ["OutputColumn", "QualifiedQuery", "SourceColumn", "column_lineage", "output_columns", "qualified_query"]

# what sqlglot names a column that has no alias: the warehouse names it otherwise
_MADE_UP = re.compile(r"_col_\d+")
_log = logging.getLogger(__name__)

SourceColumn = tuple[str, str]
"""(table as the SQL spells it, column as the table spells it)."""


@dataclass(frozen=True)
class OutputColumn:
    """A column that a query returns.

    Attributes:
        name: Its name, as spelled in its alias or in its table.
        sources: The columns that its value is computed from; filters and join conditions do not count.
        type: The type written in a cast, or that of the one source it is a copy of; None if not known.
        is_traced: Whether `sources` are all columns that its value is computed from; a constant has none.
    """

    name: str
    sources: frozenset[SourceColumn] = field(default_factory=frozenset[SourceColumn])
    type: str | None = None
    is_traced: bool = True


Fields = Callable[[str, str], Sequence[str]]
"""Returns the fields of a column if it is a structure; arguments: dotted name of its table as spelled, column."""


def column_lineage(
    sql: str, dialect: str, columns: Callable[[str], Sequence[tuple[str, str | None]]]
) -> tuple[OutputColumn, ...]:
    """Traces each output column of a query back to the tables it reads, through CTEs, subqueries, unions and `*`.

    Args:
        sql: Rendered SQL; of several statements the last query is used, also within `INSERT` or `CREATE TABLE AS`.
        dialect: The dialect of its connection; "" when unknown.
        columns: For a table's dotted name as spelled, its columns with their types; empty when they are not known.

    Returns:
        The output columns in order. Those that cannot be traced have no sources; `*` of a table whose columns are not
        known and expressions without an alias are left out; () if the SQL cannot be analyzed. Nothing is raised.
    """
    query = qualified_query(sql, dialect, columns)
    return output_columns(query) if query is not None else ()


def _last_query(statements: list[Tree]) -> Tree | None:
    from sqlglot import exp

    for statement in reversed(statements):
        inner: Any = statement
        while isinstance(inner, (exp.Insert, exp.Create)):
            inner = inner.args.get("expression")
        if isinstance(inner, exp.Query):
            return inner
    return None


@dataclass(frozen=True)
class QualifiedQuery:
    """A query whose columns are bound to its tables as far as these are known; all names are in lower case.

    Attributes:
        root: The outermost scope of `sqlglot.optimizer.scope`.
        reader: Traces the columns of the query.
        tables: The tables of the query as the SQL spells them, by their name in the tree.
        known: The columns of those tables whose columns are known, by the name in the tree.
    """

    root: Any
    reader: ScopeReader
    tables: Mapping[str, str]
    known: Mapping[str, Sequence[tuple[str, str | None]]]


def qualified_query(
    sql: str,
    dialect: str,
    columns: Callable[[str], Sequence[tuple[str, str | None]]],
    fields: Fields = lambda table, column: (),
) -> QualifiedQuery | None:
    """Parses a query and binds its columns to its tables.

    Args:
        sql: As for `column_lineage`.
        dialect: As for `column_lineage`.
        columns: As for `column_lineage`.
        fields: The fields of the columns that are structures, for `structure.*`.

    Returns:
        None if the SQL cannot be parsed. Nothing is raised.
    """
    try:
        query = _last_query(parse_statements(sql, dialect))
        return _qualify(query, dialect, columns, fields) if query is not None else None
    except SqlError:
        return None
    except (RecursionError, Exception) as error:
        _log.debug("no column lineage: %s", error)
        return None


def output_columns(query: QualifiedQuery) -> tuple[OutputColumn, ...]:
    """Returns the output columns of a query, as `column_lineage` does. Nothing is raised."""
    spelled = {
        (stand_in, column.lower()): (query.tables[stand_in], column, kind)
        for stand_in, listed in query.known.items()
        for column, kind in listed
    }
    try:
        return tuple(_outputs(query.reader, query.root, query.tables, spelled))
    except (RecursionError, Exception) as error:
        _log.debug("no column lineage: %s", error)
        return ()


def _qualify(
    query: Tree, dialect: str, columns: Callable[[str], Sequence[tuple[str, str | None]]], fields: Fields
) -> QualifiedQuery | None:
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.optimizer.scope import build_scope

    name = sql_dialects(dialect)[0]
    # names are lowercased here, so that the spelling can be kept separately
    keep = f"{name}, normalization_strategy=case_sensitive"
    tables = _isolate(query, name)
    known = {stand_in: list(columns(spelled)) for stand_in, spelled in tables.items()}
    _lower_names(query)
    expand_stars(query, known, lambda stand_in, column: fields(tables[stand_in], column))
    lower = {table: [column.lower() for column, _ in listed] for table, listed in known.items() if listed}
    schema: dict[str, object] = {table: dict.fromkeys(listed, "unknown") for table, listed in lower.items()}
    _bind_to_only_source(query, lower)
    qualified: Any = qualify(
        query,
        dialect=keep,
        schema=schema,
        validate_qualify_columns=False,
        allow_partial_qualification=True,
        quote_identifiers=False,
        identify=False,
    )
    root = build_scope(qualified)
    return QualifiedQuery(root, ScopeReader(name, lower), tables, known) if root is not None else None


def _outputs(
    reader: ScopeReader,
    root: Any,
    tables: Mapping[str, str],
    spelled: Mapping[tuple[str, str], tuple[str, str, str | None]],
) -> Iterator[OutputColumn]:
    seen: set[str] = set()
    for output in reader.outputs(root):
        is_unnamed = output.spelled is None and _MADE_UP.fullmatch(output.name)
        if output.name == "*" or is_unnamed or output.name in seen:
            continue
        seen.add(output.name)
        traced = output.sources - {UNKNOWN_COLUMN}
        found = {key: spelled.get(key, (tables.get(key[0], key[0]), key[1], None)) for key in traced}
        name, kind = output.spelled, output.type
        if len(found) == 1 and output.is_copy:
            _, column, source_kind = next(iter(found.values()))
            name, kind = name or column, kind or source_kind
        sources = frozenset((table, column) for table, column, _ in found.values())
        yield OutputColumn(name or output.name, sources, kind, UNKNOWN_COLUMN not in output.sources)


def _isolate(query: Tree, dialect: str) -> dict[str, str]:
    """Replaces each name of a table that is read with a name of one part; returns the spelled names by the new ones."""
    from sqlglot import exp

    from starlake_dagster_assets.project.sql.tables import real_tables, spelled_name

    name_tables_of_functions(query)
    stand_ins: dict[str, str] = {}
    prefixes: set[tuple[str, str]] = set()
    for table in list(real_tables(query, dialect)):
        spelled = spelled_name(table)
        if table.db:
            prefixes.add((table.db.lower(), table.name.lower()))
        stand_in = stand_ins.setdefault(spelled, f"_sl_table_{len(stand_ins)}")
        if not table.alias:
            table.set("alias", exp.TableAlias(this=_identifier(table.name)))
        table.set("this", _identifier(stand_in))
        table.set("db", None)
        table.set("catalog", None)
    for column in query.find_all(exp.Column):
        # `schema.table.column`: the table's alias is its name alone
        if (column.text("db").lower(), column.text("table").lower()) in prefixes:
            column.set("db", None)
            column.set("catalog", None)
    return {stand_in: spelled for spelled, stand_in in stand_ins.items()}


def _bind_to_only_source(query: Tree, known: Mapping[str, Sequence[str]]) -> None:
    """Binds the columns of a query to the only table that it reads, if the columns of this table are not known.

    Otherwise, sqlglot rejects the whole text if such a query is nested in another one.
    """
    from sqlglot import exp

    for select in query.find_all(exp.Select):
        source = select.args.get("from_") or select.args.get("from")
        table: Any = source.this if source is not None else None
        if select.args.get("joins") or select.args.get("laterals") or not isinstance(table, exp.Table):
            continue
        if table.name in known or not table.alias or table.args.get("pivots"):
            continue
        aliases = {item.alias for item in select.expressions if isinstance(item, exp.Alias)}
        for column in find_scope_nodes(select.iter_expressions(), exp.Column):
            if not column.table and column.name not in aliases and not isinstance(column.this, exp.Star):
                column.set("table", _identifier(table.alias))


def _identifier(name: str) -> Tree:
    from sqlglot import exp

    return exp.Identifier(this=name, quoted=True)


def _lower_names(query: Tree) -> None:
    from sqlglot import exp

    for identifier in query.find_all(exp.Identifier):
        identifier.meta["spelled"] = identifier.name
        identifier.set("this", identifier.name.lower())
