"""Rewrites DuckDB syntax that sqlglot cannot resolve: `* RENAME`, `structure.*`, `query_table('t')`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlake_dagster_assets.project.sql.parsing import Tree

__all__ = ["expand_stars", "name_table_of_function", "name_tables_of_functions"]

_Known = Mapping[str, Sequence[tuple[str, str | None]]]


def name_tables_of_functions(tree: Tree) -> None:
    """Replaces each `query_table('a.b')` in a tree with the table `a.b`."""
    from sqlglot import exp

    for table in list(tree.find_all(exp.Table)):
        name_table_of_function(table)


def name_table_of_function(table: Tree) -> None:
    """Replaces the table function `query_table('a.b')` with the table `a.b`; leaves other tables unchanged."""
    from sqlglot import exp

    call: Any = table.this
    if not isinstance(call, exp.Anonymous) or str(call.this).lower() != "query_table" or len(call.expressions) != 1:
        return
    argument: Any = call.expressions[0]
    if isinstance(argument, exp.Literal) and argument.is_string:
        named: Any = exp.to_table(argument.name, dialect="duckdb")
        for part in ("this", "db", "catalog"):
            table.set(part, named.args.get(part))


def expand_stars(query: Tree, known: _Known, fields: Callable[[str, str], Sequence[str]]) -> None:
    """Replaces `* RENAME (a AS b)` and `structure.*` with their columns, if these are known.

    Args:
        query: A query, its names in lower case.
        known: The columns of its tables.
        fields: Returns the fields of a column of a table; none if it is not a structure.
    """
    from sqlglot import exp

    for select in query.find_all(exp.Select):
        sources = _sources(select)
        items: list[Any] = []
        for item in select.expressions:
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                items += _written_out(item, sources, known, fields)
            else:
                items.append(item)
        select.set("expressions", items)


def _sources(select: Tree) -> dict[str, str]:
    """Returns the tables in the FROM clause by their aliases; "" for a subquery."""
    from sqlglot import exp

    clause: Any = select.args.get("from_") or select.args.get("from")
    items: list[Any] = [clause.this] if clause is not None else []
    items += [join.this for join in select.args.get("joins") or ()]
    items += select.args.get("laterals") or ()
    return {str(item.alias_or_name): item.name if isinstance(item, exp.Table) else "" for item in items}


def _written_out(
    item: Tree, sources: Mapping[str, str], known: _Known, fields: Callable[[str, str], Sequence[str]]
) -> list[Any]:
    from sqlglot import exp

    prefix = item.table if isinstance(item, exp.Column) else ""
    star = item.this if prefix else item
    renamed: list[Any] = star.args.get("rename") or []
    star.set("rename", None)
    if not prefix or (prefix in sources and not item.text("db")):
        key = "except_" if "except_" in star.arg_types else "except"
        star.set(key, [*(star.args.get(key) or ()), *(one.this.copy() for one in renamed)] or None)
        moved = [exp.alias_(exp.column(one.this.name, table=prefix or None), one.alias) for one in renamed]
        for one, alias in zip(renamed, moved, strict=True):
            alias.args["alias"].meta.update(one.args["alias"].meta)
        return [item, *moved]
    owner = item.text("db")
    for table in [sources[owner]] if owner in sources else sources.values():
        names = fields(table, prefix) if table in known else ()
        if names:
            without = {one.name for one in star.args.get("except_") or star.args.get("except") or ()}
            other = {one.this.name: one.alias for one in renamed}
            return [
                exp.alias_(_field(prefix, owner, name), _named(other.get(name.lower(), name)))
                for name in names
                if name.lower() not in without
            ]
    return [exp.Columns(this=exp.Star())]  # some columns, of which nothing is known


def _field(column: str, table: str, name: str) -> Any:
    from sqlglot import exp

    return exp.Dot(this=exp.column(column, table=table or None), expression=_named(name))


def _named(name: str) -> Any:
    from sqlglot import exp

    identifier: Any = exp.Identifier(this=name.lower(), quoted=False)
    identifier.meta["spelled"] = name
    return identifier
