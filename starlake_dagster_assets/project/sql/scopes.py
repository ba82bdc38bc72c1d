"""Reads a qualified query scope by scope: the base columns that each output column is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.project.sql.parsing import Tree

__all__ = ["UNKNOWN_COLUMN", "Output", "ScopeReader", "find_scope_nodes"]

_Key = tuple[str, str]

UNKNOWN_COLUMN: _Key = ("", "")
"""Source of a value that cannot be traced to a column."""


@dataclass(frozen=True)
class Output:
    """An output column of a scope.

    Attributes:
        name: Its name in the qualified tree, lower case.
        spelled: Its name as spelled by the user; None if it only comes from a `*`.
        sources: (table, column) by the names of the qualified tree; `UNKNOWN_COLUMN` if one cannot be traced.
        type: The type of a cast, in the SQL's dialect, lower case; None if there is none.
        is_copy: Whether the value is that of its one source, unchanged.
    """

    name: str
    spelled: str | None
    sources: frozenset[_Key]
    type: str | None = None
    is_copy: bool = False


class ScopeReader:
    """Traces columns through query scopes, visiting each scope once.

    Args:
        dialect: Dialect in which types are spelled.
        known: The columns, in lower case, of the tables whose columns are known; others may have any other column.
    """

    def __init__(self, dialect: str, known: Mapping[str, Sequence[str]]) -> None:
        self._dialect = dialect
        self._known = known
        self._done: dict[int, tuple[Output, ...]] = {}
        self._open: set[int] = set()

    def outputs(self, scope: Any) -> tuple[Output, ...]:
        """Returns the output columns of a scope of `sqlglot.optimizer.scope`; none for a CTE within itself."""
        key = id(scope.expression)  # a recursive CTE sees its first part through a scope of its own
        if key in self._open:
            return ()
        if key not in self._done:
            self._open.add(key)
            self._done[key] = tuple(self._read(scope))
            self._open.discard(key)
        return self._done[key]

    def _read(self, scope: Any) -> Iterator[Output]:
        from sqlglot import exp

        if _sides(scope):
            yield from self._union(scope)
        elif isinstance(scope.expression, exp.Select):
            for select in scope.expression.selects:
                if _is_several(select):
                    yield Output("*", None, frozenset({UNKNOWN_COLUMN}))
                elif select.is_star:
                    yield from self._star(scope, select)
                else:
                    yield self._select(scope, select)
        elif scope.is_udtf:
            sources = frozenset(self._sources(scope, scope.expression))
            for name in scope.expression.alias_column_names:
                yield Output(name, name, sources)
        else:
            for inner in scope.subquery_scopes:
                yield from self.outputs(inner)

    def _union(self, scope: Any) -> Iterator[Output]:
        from sqlglot import exp

        left, right = (self.outputs(side) for side in _sides(scope)[:2])
        by_name = {output.name: output for output in right}
        for position, output in enumerate(left):
            if scope.expression.args.get("by_name"):
                other = by_name.pop(output.name, None)
            else:
                other = right[position] if position < len(right) else None
            # what EXCEPT takes away is no part of a value
            if other is None or isinstance(scope.expression, exp.Except):
                yield output
                continue
            same = output.sources == other.sources and output.is_copy and other.is_copy
            kind = output.type if output.type == other.type else None
            yield Output(output.name, output.spelled, output.sources | other.sources, kind, same)
        if scope.expression.args.get("by_name"):
            yield from by_name.values()

    def _star(self, scope: Any, select: Tree) -> Iterator[Output]:
        """Yields the known columns of a `*` over a table with unknown columns, then the `*` itself."""
        from sqlglot import exp

        star = select.this if isinstance(select, exp.Column) else select
        if isinstance(select, exp.Column) and select.table not in scope.sources:  # the fields of a structure
            yield Output("*", None, frozenset({UNKNOWN_COLUMN}))
            return
        without = {item.name for item in star.args.get("except_") or star.args.get("except") or ()}
        for name, source in scope.sources.items():
            if isinstance(select, exp.Column) and select.table != name:
                continue
            if isinstance(source, exp.Table):
                columns = self._known.get(source.name, ())
                found = [Output(c, None, frozenset({(source.name, c)}), is_copy=True) for c in columns]
            else:
                found = list(self.outputs(source))
            yield from (output for output in found if output.name != "*" and output.name not in without)
        yield Output("*", None, frozenset())

    def _select(self, scope: Any, select: Tree) -> Output:
        from sqlglot import exp

        value = select.unalias()
        while isinstance(value, exp.Paren):
            value = value.this
        sources = frozenset(self._sources(scope, value))
        if scope.pivots:  # its columns are computed from values and names of others
            return Output(
                str(select.alias_or_name) or "_col", _spelled(select.args.get("alias")), frozenset({UNKNOWN_COLUMN})
            )
        name = str(select.alias_or_name) or "_col"
        kind = value.to.sql(dialect=self._dialect).lower() if isinstance(value, exp.Cast) else None
        if not isinstance(value, exp.Column):
            return Output(name, _spelled(select.args.get("alias")), sources, kind)
        behind = self._behind(scope, value)
        spelled = _spelled(select.args.get("alias")) or _spelled(value.this)
        if behind is None:
            return Output(name, spelled, sources, kind, is_copy=True)
        return Output(name, spelled or behind.spelled, sources, behind.type, behind.is_copy)

    def _sources(self, scope: Any, value: Tree) -> Iterator[_Key]:
        """Yields the base columns of an expression; for a subquery, those of the columns that it returns."""
        from sqlglot import exp

        inner = {id(sub.expression): sub for sub in scope.subquery_scopes}
        todo: list[Any] = [value]
        while todo:
            node = todo.pop()
            if id(node) in inner:
                for output in self.outputs(inner[id(node)]):
                    yield from output.sources
            elif isinstance(node, exp.Column):
                yield from self._column(scope, node)
            elif _is_untraceable(node):
                yield UNKNOWN_COLUMN
            elif not isinstance(node, exp.Count) or not isinstance(node.this, exp.Star):
                todo += list(node.iter_expressions())

    def _column(self, scope: Any, column: Tree) -> Iterator[_Key]:
        from sqlglot import exp

        source = self._source(scope, column)
        if source is None:
            yield UNKNOWN_COLUMN
        elif isinstance(source, exp.Table):
            yield (source.name, column.name) if self._has(source, column.name) else UNKNOWN_COLUMN
        elif id(source.expression) not in self._open:
            behind = self._behind(scope, column)
            if behind is not None:
                yield from behind.sources
            elif source.is_udtf:
                yield from self._sources(source, source.expression)
            elif any(output.name == "*" and UNKNOWN_COLUMN not in output.sources for output in self.outputs(source)):
                yield from self._column(source, exp.Column(this=column.this.copy()))
            else:
                yield UNKNOWN_COLUMN

    def _has(self, table: Tree, column: str) -> bool:
        """Whether a table has, or may have, a column; the name of the table itself means the whole row."""
        from sqlglot import exp

        if not isinstance(table.this, exp.Identifier):  # a function
            return False
        known = self._known.get(table.name)
        return column != table.alias_or_name if known is None else column in known

    def _behind(self, scope: Any, column: Tree) -> Output | None:
        """Returns the output of a CTE or subquery to which a column refers; None for a column of a table."""
        from sqlglot import exp

        source = self._source(scope, column)
        if source is None or isinstance(source, exp.Table):
            return None
        return next((output for output in self.outputs(source) if output.name == column.name), None)

    def _source(self, scope: Any, column: Tree) -> Any:
        """Returns the table or scope of a column, here or in an outer query; None if it cannot be determined."""
        if not column.table:
            sources = list(scope.sources.values())
            unknown = [source for source in sources if not self._is_known(source)]
            fitting = sources if len(sources) == 1 else unknown
            return fitting[0] if len(fitting) == 1 else None
        while scope is not None:
            if column.table in scope.sources:
                return scope.sources[column.table]
            scope = scope.parent
        return None

    def _is_known(self, source: Any) -> bool:
        from sqlglot import exp

        if isinstance(source, exp.Table):
            return source.name in self._known
        return all(output.name != "*" for output in self.outputs(source))


def _sides(scope: Any) -> list[Any]:
    """Returns the scopes of the two sides of a UNION (their name in sqlglot changed between releases)."""
    return getattr(scope, "set_operation_scopes", None) or getattr(scope, "union_scopes", None) or []


def _is_several(select: Tree) -> bool:
    """Whether an item of a SELECT list returns several columns, whose names depend on the data: `COLUMNS(…)`."""
    from sqlglot import exp

    if select.find(exp.Columns):
        return True
    if isinstance(select, (exp.Explode, exp.Unnest)):  # the fields of a structure
        return True
    return not select.is_star and any(
        not isinstance(star.parent, exp.Count) for star in find_scope_nodes([select], exp.Star)
    )


def find_scope_nodes(roots: Iterable[Tree], kind: type[Any]) -> Iterator[Any]:
    """Yields the nodes of a class in expressions, without those in nested queries.

    Args:
        roots: The expressions.
        kind: Class of sqlglot.
    """
    from sqlglot import exp

    todo: list[Any] = list(roots)
    while todo:
        node = todo.pop()
        if isinstance(node, kind):
            yield node
        elif not isinstance(node, exp.Query):
            todo += list(node.iter_expressions())


def _is_untraceable(node: Tree) -> bool:
    """Whether a part of an expression refers to columns that cannot be determined: a whole row, `#1`, a method."""
    from sqlglot import exp

    whole = tuple(getattr(exp, name) for name in ("TableColumn", "PositionalColumn") if hasattr(exp, name))
    return isinstance(node, whole) or (isinstance(node, exp.Dot) and isinstance(node.this, exp.Identifier))


def _spelled(identifier: Any) -> str | None:
    return identifier.meta.get("spelled") if identifier is not None else None
