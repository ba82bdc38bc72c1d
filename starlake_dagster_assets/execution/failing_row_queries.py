"""Derives the query of the failing rows from the query of an expectation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.project.sql.parsing import SqlError, Tree, child_with, parse_statements

__all__ = ["MOST_SAMPLES", "WINDOW_COLUMN", "FailingRows", "Sample", "counts_rows", "failing_rows", "with_limit"]

MOST_SAMPLES = 20
"""Maximum number of rows that a check may show: the rows are kept in Dagster's event log."""
WINDOW_COLUMN = "_w"
"""The column that sqlglot adds if a dialect has no `QUALIFY`."""
_ORDERED = {"duckdb", "bigquery", "databricks", "redshift", "snowflake"}
"""Dialects with `QUALIFY`; in other dialects, the order would be in a subquery."""
_CHANGES = ("group", "having", "distinct", "limit", "offset", "qualify", "pivots")
"""Clauses of a query with which its count is not the number of rows of its `FROM` and `WHERE`."""


@dataclass(frozen=True)
class FailingRows:
    """Query of the rows that violate an expectation.

    Attributes:
        sql: The query.
        renamed: Columns, in lower case, that the query computes with: a result may show them under another name.
        tables: The tables that it reads, as the SQL spells them.
    """

    sql: str
    renamed: frozenset[str]
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sample:
    """Some failing rows, as the warehouse has them: values as texts, in the order of `columns`.

    Attributes:
        count: The current result of the expectation's query.
        columns: Names of the columns.
        rows: The values.
        renamed: As in `FailingRows`.
        tables: As in `FailingRows`.
    """

    count: int
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    renamed: frozenset[str]
    tables: frozenset[str] = frozenset()


def failing_rows(sql: str, dialect: str) -> FailingRows | None:
    """Returns the query of the rows that violate an expectation; None if its SQL does not identify them.

    Args:
        sql: The expectation's query. It counts rows (`count(*)`, `count(*) filter (…)`, `sum(case when … then 1 …)`,
            `count(*) - count(distinct a)`), or returns 0 or another number: `case when exists (…) then 1 else 0 end`,
            `case when count(*) > 0 …`, `case when (select count(*) …) = 0 then 0 else 1 end`.
        dialect: Its dialect.
    """
    tree = _query(sql, dialect)
    rows = _rows_of(tree) if tree is not None else None
    if rows is None or tree is None:
        return None
    if (clause := child_with(tree)) is not None and child_with(rows) is None:
        rows.set(clause.arg_key or "with", clause.copy())
    if rows.args.get("qualify") and dialect not in _ORDERED:
        rows.set("order", None)
    return FailingRows(rows.sql(dialect=dialect), frozenset(_renamed(rows)), frozenset(_tables(rows)))


def counts_rows(sql: str, dialect: str) -> bool:
    """Whether an expectation's query returns a number of rows, instead of a pass-or-fail result."""
    tree = _query(sql, dialect)
    return tree is not None and _counted(tree, tree.expressions[0].unalias()) is not None


def _query(sql: str, dialect: str) -> Any:
    """Parses a single `SELECT` with one column; returns None for other SQL."""
    from sqlglot import exp

    try:
        statements = parse_statements(sql, dialect)
    except SqlError:
        return None
    tree: Any = statements[0] if len(statements) == 1 else None
    return tree if isinstance(tree, exp.Select) and len(tree.expressions) == 1 else None


def _rows_of(tree: Tree) -> Any:
    value = tree.expressions[0].unalias()
    counted = _counted(tree, value)
    return counted if counted is not None else _verdict(tree, value)


# ------------------------------------------------------------------------------------------------ verdicts


def _verdict(query: Tree, value: Tree) -> Any:
    """Returns the query of the rows behind a pass-or-fail result, in which 0 means that the expectation holds."""
    from sqlglot import exp

    value = _bare(value)
    if isinstance(value, exp.Case) and value.this is None:
        branches: list[Any] = value.args.get("ifs") or []
    else:
        branches = [value] if isinstance(value, exp.If) else []
    if len(branches) == 1:
        yes = branches[0].args.get("true")
        no = value.args.get("false") if isinstance(value, exp.If) else value.args.get("default")
        passes = _is_number(yes, 0), _is_number(no, 0)
        if passes == (False, True) and isinstance(_bare(yes), exp.Literal):
            return _rows_where(query, branches[0].this, holds=True)
        if passes == (True, False) and isinstance(_bare(no), exp.Literal):
            return _rows_where(query, branches[0].this, holds=False)
        return None
    if isinstance(value, exp.Subquery) and isinstance(value.this, exp.Select) and len(value.this.expressions) == 1:
        return _rows_of(value.this)
    return _rows_where(query, value, holds=True)


def _rows_where(query: Tree, condition: Tree, *, holds: bool) -> Any:
    """Returns the query of the rows that make a condition true or false; None if no rows do."""
    from sqlglot import exp

    condition = _bare(condition)
    if isinstance(condition, exp.Not):
        return _rows_where(query, condition.this, holds=not holds)
    if isinstance(condition, exp.Exists):
        return _shown(condition.this) if holds else None
    left, right = _bare(condition.args.get("this")), _bare(condition.args.get("expression"))
    some = (
        (isinstance(condition, (exp.GT, exp.NEQ)) and _is_number(right, 0))
        or (isinstance(condition, exp.GTE) and _is_number(right, 1))
        or (isinstance(condition, exp.LT) and _is_number(left, 0))
    )
    none = (
        (isinstance(condition, (exp.EQ, exp.LTE)) and _is_number(right, 0))
        or (isinstance(condition, exp.LT) and _is_number(right, 1))
        or (isinstance(condition, exp.EQ) and _is_number(left, 0))
    )
    if not (some if holds else none):
        return None
    counted = right if _is_number(left, 0) else left
    if isinstance(counted, exp.Subquery) and isinstance(counted.this, exp.Select):
        inner = counted.this
        return _counted(inner, inner.expressions[0].unalias()) if len(inner.expressions) == 1 else None
    return _counted(query, counted)


def _shown(query: Tree) -> Any:
    """Returns the query within `EXISTS` without its limit, with all columns if it is not grouped."""
    from sqlglot import exp

    if isinstance(query, exp.Subquery):
        return _shown(query.this)
    if not isinstance(query, exp.Select):
        return query.copy() if isinstance(query, exp.Query) else None
    rows: Any = query.copy()
    rows.set("limit", None)
    if not any(query.args.get(one) for one in ("group", "having", "distinct")):
        rows.set("expressions", [exp.Star()])
    elif all(isinstance(_bare(one.unalias()), (exp.Literal, exp.Star)) for one in query.expressions):
        keys: list[Any] = [key.copy() for key in (query.args["group"].expressions if query.args.get("group") else ())]
        rows.set("expressions", keys or [exp.Star()])
    return rows


def _bare(value: Any) -> Any:
    """Removes parentheses, casts and `coalesce` from an expression."""
    from sqlglot import exp

    while isinstance(value, (exp.Paren, exp.Cast)):
        value = value.this
    if isinstance(value, exp.Coalesce):
        return _bare(value.this)
    return value


def _is_number(value: Any, number: int) -> bool:
    from sqlglot import exp

    value = _bare(value)
    return isinstance(value, exp.Literal) and not value.is_string and str(value.this) == str(number)


# -------------------------------------------------------------------------------------------------- counts


def _counted(query: Tree, value: Any) -> Any:
    """Returns the query of the rows that an expression counts; None if it does not count rows."""
    from sqlglot import exp

    value = _bare(value)
    if any(query.args.get(one) for one in _CHANGES):
        return None
    if isinstance(value, exp.Filter) and _is_count(value.this):
        return _rows(query, value.expression.this)
    if _is_count(value):
        return _rows(query, None)
    if isinstance(value, (exp.Sum, exp.Count, exp.CountIf)):
        condition = value.this if isinstance(value, exp.CountIf) else _counted_case(value)
        return _rows(query, condition) if condition is not None else None
    if not isinstance(value, exp.Sub) or not _is_count(value.this) or not isinstance(value.expression, exp.Count):
        return None
    inner: Any = value.expression.this
    if isinstance(inner, exp.Column):
        return _rows(query, exp.Is(this=inner.copy(), expression=exp.Null()))
    return _duplicates(query, inner.expressions) if isinstance(inner, exp.Distinct) else None


def _rows(query: Tree, condition: Any) -> Any:
    from sqlglot import exp

    if query.args.get("from_") is None and query.args.get("from") is None:
        return None
    rows: Any = query.copy()
    rows.set("expressions", [exp.Star()])
    return rows.where(condition.copy(), copy=False) if condition is not None else rows


def _duplicates(query: Tree, keys: Sequence[Any]) -> Any:
    from sqlglot import exp

    rows = _rows(query, None)
    if rows is None:
        return None
    partition: Any = exp.Window(this=exp.Count(this=exp.Star()), partition_by=[one.copy() for one in keys])
    unlike: list[Any] = [exp.Is(this=one.copy(), expression=exp.Null()) for one in keys]
    rows.set("qualify", exp.Qualify(this=exp.or_(partition > 1, *unlike)))
    rows.set("order", exp.Order(expressions=[one.copy() for one in keys]))
    return rows


def with_limit(sql: str, dialect: str, limit: int) -> str:
    """Adds a limit to a query, in the syntax of its dialect."""
    statements: Any = parse_statements(sql, dialect)
    return str(statements[0].limit(limit).sql(dialect=dialect))


def _is_count(value: Tree) -> bool:
    """Whether an expression is `count(*)` or `count(1)`."""
    from sqlglot import exp

    return isinstance(value, exp.Count) and isinstance(value.this, (exp.Star, exp.Literal))


def _counted_case(value: Tree) -> Any:
    """Returns the condition of `sum(case when … then 1 else 0 end)` or `count(case when … then 1 end)`; else None."""
    from sqlglot import exp

    inner = _bare(value.this)
    is_case = isinstance(inner, exp.Case) and inner.this is None
    branches: list[Any] = [inner] if isinstance(inner, exp.If) else (inner.args.get("ifs") or []) if is_case else []
    if len(branches) != 1:
        return None
    default = inner.args.get("false") if isinstance(inner, exp.If) else inner.args.get("default")
    yes = branches[0].args.get("true")
    if isinstance(value, exp.Sum):
        fits = _is_number(yes, 1) and (default is None or _is_number(default, 0))
    else:
        fits = isinstance(_bare(yes), exp.Literal) and (default is None or isinstance(_bare(default), exp.Null))
    return branches[0].this if fits else None


# -------------------------------------------------------------------------------------------------- columns


def _tables(tree: Tree) -> Iterator[str]:
    from sqlglot import exp

    named = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.db or table.name.lower() not in named:
            yield ".".join(part.name for part in table.parts)


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
    unlisted = any(star.args.get("rename") or star.args.get("replace") for star in tree.find_all(exp.Star))
    if listed or unlisted or tree.find(exp.Pivot, exp.Columns):  # every column may have another name
        found |= {column.name.lower() for column in tree.find_all(exp.Column)} | {"*"}
    return found
