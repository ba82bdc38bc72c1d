"""Tables that a SQL text reads: by a parser, and by the regular expressions of the starlake program."""

from __future__ import annotations

import re

from starlake_dagster_assets.project.sql.parsing import SqlError, parse_statements

__all__ = ["find_references", "find_starlake_references", "parse_error", "read_references", "split_name"]

_FROM = re.compile(r"\s+FROM\s+([_\-a-z0-9`./(]+\s*[ _,a-z0-9`./(]*)", re.IGNORECASE | re.ASCII)
_JOIN = re.compile(r"\s+JOIN\s+([_\-a-z0-9`./]+)", re.IGNORECASE | re.ASCII)
# good enough where no parser is: `with name as (`, `, name (columns) as materialized (`
_CTE = re.compile(
    r"(?:\bwith(?:\s+recursive)?|,)\s+\"?(\w+)\"?(?:\s*\([^()]*\))?\s+as\s+(?:not\s+)?(?:materialized\s+)?\(",
    re.IGNORECASE,
)
_WORDS = frozenset({"where", "select", "group", "order", "having", "limit", "union", "on", "join", "lateral", "unnest"})
_SPACE = re.compile(r"\s", re.ASCII)
_PART = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')
# what Java's String.trim removes
_CONTROL = "".join(map(chr, range(33)))


def find_references(sql: str, dialect: str) -> tuple[str, ...]:
    """Returns the tables and views that a SQL text reads.

    CTEs (within their scope), table functions, files, correlated arrays and the targets of `INSERT`, `MERGE` and
    `CREATE` are not references. SQL that cannot be parsed is read by
    `find_starlake_references`, without names that look like CTEs.

    Args:
        sql: Rendered SQL, any number of statements.
        dialect: The dialect of its connection; "" when unknown.

    Returns:
        Dotted names as spelled, without their quotes, unique, in order of appearance. A part that contains a dot
        keeps double quotes, see `split_name`. Nothing is raised.

    Examples:
        >>> find_references('with x as (select * from a.b) select * from x join "c"."d" using (id)', "duckdb")
        ('a.b', 'c.d')
    """
    return read_references(sql, dialect)[0]


def read_references(sql: str, dialect: str) -> tuple[tuple[str, ...], str | None]:
    """Returns the results of `find_references` and `parse_error` at the cost of one parse.

    Args:
        sql: Rendered SQL, any number of statements.
        dialect: The dialect of its connection; "" when unknown.

    Returns:
        The names, and the reason why the text cannot be parsed; None if it can. Nothing is raised.
    """
    from starlake_dagster_assets.project.sql.tables import tables_read

    try:
        return tables_read(parse_statements(sql, dialect), dialect), None
    except SqlError as error:
        ctes = {name.lower() for name in _CTE.findall(sql)}
        return tuple(name for name in find_starlake_references(sql) if name.lower() not in ctes | _WORDS), str(error)


def parse_error(sql: str, dialect: str) -> str | None:
    """Returns the reason why a SQL text cannot be parsed; None if it can.

    Args:
        sql: Rendered SQL.
        dialect: The dialect of its connection; "" when unknown.

    Returns:
        One line with the position and the reason; None if the text can be parsed. Nothing is raised.
    """
    try:
        parse_statements(sql, dialect)
    except SqlError as error:
        return str(error)
    return None


def find_starlake_references(sql: str) -> tuple[str, ...]:
    """Returns the names that the starlake program's two regular expressions find, including wrong ones.

    Args:
        sql: The task's main SQL, rendered, without comments.

    Returns:
        Names without back-quotes, unique: those after `FROM`, then those after `JOIN`.

    Examples:
        >>> find_starlake_references("select extract(year from ts) from a.b")
        ('ts', 'a.b')
    """
    found: list[str] = []
    for match in _FROM.finditer(sql):
        for item in match.group(1).split(","):
            trimmed = item.strip(_CONTROL)
            space = _SPACE.search(trimmed)
            word = trimmed[: space.start()] if space else trimmed
            if word and "(" not in word:
                found.append(word)
    found += [match.group(1) for match in _JOIN.finditer(sql)]
    return tuple(dict.fromkeys(name.replace("`", "") for name in found))


def split_name(name: str) -> tuple[str, ...]:
    """Returns the parts of a dotted name; dots within double quotes belong to the part.

    Args:
        name: A name, such as `a.b` or `a."b.c"`.

    Returns:
        The parts without quotes: `("a", "b.c")`.
    """
    if '"' not in name:
        return tuple(name.split("."))
    return tuple(m.group(1).replace('""', '"') if m.group(1) is not None else m.group(2) for m in _PART.finditer(name))
