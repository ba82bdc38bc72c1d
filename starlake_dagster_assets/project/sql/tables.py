"""The tables that parsed statements read, with the scopes of CTEs and correlated names respected.

The module imports sqlglot: import it only to read SQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from starlake_dagster_assets.project.sql.parsing import Tree, child_with
from starlake_dagster_assets.project.sql.rewriting import name_table_of_function

__all__ = ["real_tables", "spelled_name", "tables_read"]

_FILE = re.compile(
    r"://|/|\\|^@|\.(csv|tsv|txt|json|jsonl|ndjson|parquet|orc|avro|xlsx|db|duckdb)(\.\w+)?$", re.IGNORECASE
)
_ALIASES_FIRST = frozenset({"bigquery", "redshift"})
_LEAVES = frozenset({exp.Boolean, exp.Identifier, exp.Literal, exp.Null, exp.Placeholder, exp.Var})
"""Types of most nodes of a tree, which contain no tables: the walk skips them."""
_SILENT = (exp.Lock, exp.Hint, exp.Into, exp.Reference, exp.Use)
"""Expressions whose tables are not read: locks, hints, foreign keys, `select … into`."""
_WRITERS = (exp.Insert, exp.Merge, exp.Update, exp.Delete, exp.Create, exp.Drop, exp.Alter, exp.Describe, exp.Use)


@dataclass(frozen=True)
class _Scope:
    """Names that hide tables in one scope: lower-case names of CTEs and of relations with arrays."""

    ctes: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()

    def plus(self, *, ctes: Iterable[str] = (), relations: Iterable[str] = ()) -> _Scope:
        return _Scope(self.ctes.union(ctes), self.relations.union(relations))


def tables_read(statements: Iterable[Tree], dialect: str) -> tuple[str, ...]:
    """Returns the dotted names of the tables that statements read.

    Args:
        statements: Parsed statements.
        dialect: The SQL's dialect: in some, `t.items` after `from x t` is an array of `t`.

    Returns:
        Names without quotes (but a part that holds a dot keeps them), unique, in order of appearance.
    """
    names: list[str] = []
    for statement in statements:
        names += [spelled_name(table) for table in sorted(real_tables(statement, dialect), key=_position)]
    return tuple(dict.fromkeys(names))


def real_tables(statement: Tree, dialect: str) -> Iterator[Tree]:
    """Yields the tables that a statement reads, without CTEs and other names that hide them.

    `query_table('a.b')` becomes the table `a.b` in the tree.

    Args:
        statement: One parsed statement.
        dialect: The SQL's dialect.

    Yields:
        Nodes of the tree, in no order; the walk does not recurse.
    """
    aliases_first = dialect.lower() in _ALIASES_FIRST
    todo: list[tuple[Tree, _Scope]] = [(statement, _Scope())]
    while todo:
        node, scope = todo.pop()
        if isinstance(node, exp.Table):
            name_table_of_function(node)
            if _is_reference(node, scope):
                yield node
        children, inner = _children(node, scope, todo)
        if aliases_first and isinstance(node, exp.Select):
            inner = _correlate(children, inner, todo)
        todo += [(child, inner) for child in children]


def spelled_name(table: Tree) -> str:
    """Returns the dotted name of a table as spelled, without quotes; a part that contains a dot keeps them."""
    return ".".join(_parts(table))


def _children(node: Tree, scope: _Scope, todo: list[tuple[Tree, _Scope]]) -> tuple[list[Tree], _Scope]:
    """Returns the children that may read tables, and their scope; adds CTEs, each with its own scope, to `todo`."""
    clause = child_with(node)
    inner = scope
    if clause is not None:
        ctes: list[Any] = clause.expressions
        for cte in ctes:
            inside = inner.plus(ctes=[cte.alias.lower()]) if _is_recursive(clause, cte) else inner
            todo.append((cte.this, inside))
            inner = inner.plus(ctes=[cte.alias.lower()])
    skipped = _target(node)
    children: list[Any] = [
        child
        for child in node.iter_expressions()
        if not _is_leaf(child) and child is not clause and child is not skipped and not isinstance(child, _SILENT)
    ]
    return children, inner


def _is_leaf(node: Any) -> bool:
    return node.__class__ in _LEAVES or (node.__class__ is exp.Column and node.this.__class__ in _LEAVES)


def _is_recursive(clause: Tree, cte: Any) -> bool:
    # a body that is no union cannot call itself: such a name means the real table
    return bool(clause.args.get("recursive")) and isinstance(cte.this.unnest(), exp.SetOperation)


def _target(node: Tree) -> Any:
    """Returns the child that a statement writes or describes rather than reads."""
    if isinstance(node, _WRITERS):
        written: Any = node.args.get("this")
        return written if isinstance(written, (exp.Table, exp.Schema, exp.UserDefinedFunction)) else None
    if isinstance(node, exp.Copy) and isinstance(node.this, (exp.Table, exp.Schema)):
        # kind: True is COPY … FROM, which writes the table
        return node.this if node.args.get("kind") else None
    return node.args.get("this") if isinstance(node, exp.Predict) else None


def _is_reference(table: Any, scope: _Scope) -> bool:
    named = table.this
    if not isinstance(named, (exp.Identifier, exp.Dot)) or named.args.get("temporary"):
        return False
    parts = [part.name for part in table.parts]
    if not parts[-1] or _FILE.search(parts[-1]) or any("://" in part for part in parts):
        return False
    first = parts[0].lower()
    if len(parts) == 1:
        return first not in scope.ctes and first != "dual"
    return first not in scope.relations


def _correlate(children: list[Tree], scope: _Scope, todo: list[tuple[Tree, _Scope]]) -> _Scope:
    """Adds each relation of a FROM clause to `todo` with the scope of those before it; returns the scope after all."""
    for child in list(children):
        if isinstance(child, (exp.From, exp.Join)):
            children.remove(child)
            todo.append((child, scope))
            scope = scope.plus(relations=[name] if (name := child.this.alias_or_name.lower()) else [])
    return scope


def _parts(table: Any) -> list[str]:
    names = [part.name for part in table.parts]
    if table.args.get("catalog") and not table.db:
        # `db..t` is t in the default schema
        names = names[-1:]
    return ['"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name for name in names]


def _position(table: Any) -> int:
    return int(table.parts[0].meta.get("start", 0))
