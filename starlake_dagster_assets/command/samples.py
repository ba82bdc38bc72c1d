"""From an expectation, a query that counts what is wrong, to a query of the rows that it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.project.sql_parsing import SqlError, Tree, parse_statements

__all__ = ["MOST_SAMPLES", "FailingRows", "Sample", "failing_rows"]

MOST_SAMPLES = 20
"""Rows that a check may show, at most: they are kept in Dagster's event log."""
_CHANGES = ("group", "having", "distinct", "limit", "offset", "qualify", "pivots")
"""Parts of a query after which its count is not the number of rows of its `FROM` and `WHERE`."""


@dataclass(frozen=True)
class FailingRows:
    """The rows that an expectation counts.

    Attributes:
        sql: Their query.
        renamed: Columns, in lower case, that the query computes with: a result may show them under another name.
    """

    sql: str
    renamed: frozenset[str]


@dataclass(frozen=True)
class Sample:
    """Some of them, as the warehouse has them: values as texts, in the order of `columns`."""

    count: int
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    renamed: frozenset[str]


def failing_rows(sql: str, dialect: str) -> FailingRows | None:
    """The query of the rows that an expectation counts.

    Args:
        sql: The expectation's query: `select count(*) from …`, or `select count(*) - count(distinct a) from …`.
        dialect: What it is written in.

    Returns:
        None where it is a query of another shape, which does not say which rows are wrong.
    """
    from sqlglot import exp

    try:
        statements = parse_statements(sql, dialect)
    except SqlError:
        return None
    tree: Any = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or any(tree.args.get(one) for one in _CHANGES):
        return None
    counted: Any = tree.expressions[0].unalias()
    duplicates = _distinct(counted)
    if not duplicates and not _is_count(counted):
        return None
    rows: Any = tree.copy()
    rows.set("expressions", [exp.Star()])
    if duplicates:
        partition: Any = exp.Window(this=exp.Count(this=exp.Star()), partition_by=[one.copy() for one in duplicates])
        unlike: list[Any] = [exp.Is(this=one.copy(), expression=exp.Null()) for one in duplicates]
        rows.set("qualify", exp.Qualify(this=exp.or_(partition > 1, *unlike)))
        rows.set("order", exp.Order(expressions=[one.copy() for one in duplicates]))
    return FailingRows(rows.sql(dialect=dialect), frozenset(_renamed(rows)))


def _is_count(value: Tree) -> bool:
    """Whether it is `count(*)` or `count(1)`."""
    from sqlglot import exp

    return isinstance(value, exp.Count) and isinstance(value.this, (exp.Star, exp.Literal))


def _distinct(value: Tree) -> list[Any]:
    """What must be distinct, of `count(*) - count(distinct …)`; else nothing."""
    from sqlglot import exp

    if not isinstance(value, exp.Sub) or not _is_count(value.this) or not isinstance(value.expression, exp.Count):
        return []
    inner: Any = value.expression.this
    return list(inner.expressions) if isinstance(inner, exp.Distinct) else []


def _renamed(tree: Tree) -> set[str]:
    from sqlglot import exp

    tests = (exp.Where, exp.Having, exp.Join, exp.Group, exp.Order, exp.Qualify)
    found: set[str] = set()
    for column in tree.find_all(exp.Column):
        if isinstance(column.parent, exp.Select) and column.arg_key == "expressions":
            continue
        above = column.find_ancestor(exp.Select, exp.Unnest, exp.Lateral, *tests)
        if not isinstance(above, tests):
            found.add(column.name.lower())
    listed = [alias for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns")]
    if listed or tree.find(exp.Pivot):  # every column may have another name
        found |= {column.name.lower() for column in tree.find_all(exp.Column)} | {"*"}
    return found
