"""Unknown columns: columns that no table of a query has, and declared columns that the SQL of a task lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.graph.columns import ColumnLineage
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.graph.name_resolution import TableNames
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.column_lineage import QualifiedQuery

__all__ = ["unknown_columns"]

_ENGINE_PREFIXES = ("_", "sl_", "comet_", "$", "@")
"""Prefixes of columns that engines and warehouses add themselves."""
_SHOWN = 20
"""Maximum number of columns that a message lists."""
_IGNORED = frozenset({"rowid", "rownum", "ctid", "oid", "excluded", "level", "filename", "value", "user", "default"})
"""Names that are a column of every table, or a keyword, in some engines."""


def unknown_columns(graph: Graph, project: Project, positions: Positions) -> Iterator[Problem]:
    """Reports columns that no table of a query has, and declared columns that the SQL of a task does not return.

    Args:
        graph: The graph of the project.
        project: The resolved project.
        positions: Finds words in its files.
    """
    checker = _Checker(graph, project)
    for task in project.tasks:
        yield from _unknown_of_write(task, checker)
        yield from _not_returned(task, checker)
        for column in checker.unknown(task):
            file, line, place = positions.find_in_task(task, column.spelled, column.start)
            close = closest_match(column.name, column.known_columns)
            listed = ", ".join(column.known_columns[:_SHOWN]) + (", …" if len(column.known_columns) > _SHOWN else "")
            yield Problem(
                file=file,
                line=line,
                column=place,
                message=f"no table of the query has a column `{column.spelled}`; known columns: {listed}.",
                hint=f"Did you mean `{close}`?" if close else "Correct the name, or add the attribute to its table.",
                severity="warning",
                code="unknown-column-read",
            )


@dataclass(frozen=True)
class _Unknown:
    """A column that no table has.

    Attributes:
        name: Name in lower case.
        spelled: Name as spelled in the SQL.
        start: Offset in the SQL; None if it is not known.
        known_columns: The columns of the tables in its scope.
    """

    name: str
    spelled: str
    start: int | None
    known_columns: tuple[str, ...]


class _Checker:
    """Finder of unknown columns in the SQL of tasks, from the columns of all nodes of the graph."""

    def __init__(self, graph: Graph, project: Project) -> None:
        self._graph = graph
        self._lineage = ColumnLineage(graph, project, keep_queries=True)
        described = [n for n in graph.nodes.values() if not n.is_files and (n.kind != "external" or n.external)]
        self._names = TableNames(described, project.application.refs)
        self._complete: dict[str, bool] = {}

    def unknown(self, task: Task) -> Iterator[_Unknown]:
        """Yields the unknown columns of a task; none if some columns of one of its tables are not known."""
        node = self._graph.node_of(task)
        if not task.sql or not task.parse_sql or ";" in task.sql or node is None:
            return
        query = self._lineage.query(node.id)
        if query is None or not all(query.known.values()):
            return
        if not all(self._is_complete(self._node_of(name, task)) for name in query.tables.values()):
            return
        seen: set[tuple[str, int | None]] = set()
        for found in _unknown_in(query):
            if (found.name, found.start) not in seen:
                seen.add((found.name, found.start))
                yield found

    def outputs(self, task: Task) -> tuple[str, ...]:
        """Returns the columns of the table that a task writes, declared or returned; () if not all are known."""
        node = self._graph.node_of(task)
        return tuple(name for name, _ in self._lineage.columns(node.id)) if node and self.returned(task) else ()

    def returned(self, task: Task) -> tuple[str, ...]:
        """Returns the columns of a task's query; () if not all are known."""
        node = self._graph.node_of(task)
        if not task.sql or not task.parse_sql or ";" in task.sql or node is None or not self._is_complete(node.id):
            return ()
        query = self._lineage.query(node.id)
        return tuple(output.name for output in query.reader.outputs(query.root)) if query is not None else ()

    def _node_of(self, name: str, task: Task) -> str | None:
        meant = self._names.resolve(name, task)
        # the columns of a table that several write are those of all of them
        return meant.node if not meant.candidates and meant.node not in self._graph.writers else None

    def _is_complete(self, node_id: str | None) -> bool:
        """Whether all columns of a node are known: none is from a `*` of an unknown table or has a generated name."""
        todo = [node_id] if node_id else []
        entered: set[str] = set()
        while todo:
            name = todo[-1]
            if name in self._complete:
                todo.pop()
                continue
            sources = self._sources(name)
            waiting = [one for one in sources or () if one not in self._complete and one not in entered]
            if waiting and name not in entered:
                entered.add(name)
                todo += waiting
                continue
            entered.add(name)
            todo.pop()
            self._complete[name] = sources is not None and all(self._complete.get(one, False) for one in sources)
        return node_id is not None and self._complete.get(node_id, False)

    def _sources(self, node_id: str) -> list[str] | None:
        """Returns the nodes that the columns of a node depend on; None if its columns cannot be known."""
        node = self._graph.nodes.get(node_id)
        if node is None:
            return None
        if node.task is None:
            return [] if self._lineage.columns(node_id) else None
        query = self._lineage.query(node_id)
        if query is None or ";" in (node.task.sql or "") or node.task.presql or node.task.postsql:
            return None
        outputs = query.reader.outputs(query.root)
        if not outputs or any(output.name == "*" or output.name.startswith("_col") for output in outputs):
            return None
        found = [self._node_of(name, node.task) for name in query.tables.values()]
        return None if None in found else [name for name in found if name is not None]


def _unknown_of_write(task: Task, checker: _Checker) -> Iterator[Problem]:
    """Reports the columns of `sink.partition` and `writeStrategy` that a task does not return."""
    strategy = task.write_strategy
    is_replaced = strategy.type.upper() == "OVERWRITE_BY_PARTITION"
    partition = [name for name in task.sink.partition if not name.startswith(_ENGINE_PREFIXES)]
    used = [
        *(("writeStrategy.key", name, True) for name in strategy.key),
        *(("writeStrategy.timestamp", name, True) for name in [strategy.timestamp] if name),
        *(("sink.partition", name, is_replaced) for name in partition),
    ]
    outputs = checker.outputs(task) if used else ()
    lower = {name.lower() for name in outputs}
    for key, name, is_fatal in used if outputs else ():
        if name.lower() in lower:
            continue
        close = closest_match(name, outputs)
        listed = ", ".join(outputs[:_SHOWN]) + (", …" if len(outputs) > _SHOWN else "")
        yield Problem(
            file=task.location.file,
            line=task.location.line,
            key=key,
            message=f"`{name}` is not a column that the task `{task.id}` returns; it returns {listed}.",
            hint=f"Did you mean `{close}`?" if close else "Correct the name, or return the column in the SQL.",
            severity="error" if is_fatal else "warning",
            code="unknown-column",
        )


def _not_returned(task: Task, checker: _Checker) -> Iterator[Problem]:
    """Reports the attributes of a task that its SQL does not return."""
    declared = [(index, item) for index, item in enumerate(task.attributes) if not item.ignore and item.script is None]
    returned = checker.returned(task) if declared else ()
    lower = {name.lower() for name in returned}
    for index, attribute in declared if returned else ():
        if not {attribute.name.lower(), attribute.final_name.lower()} & lower:
            close = closest_match(attribute.name, returned)
            listed = ", ".join(returned[:_SHOWN]) + (", …" if len(returned) > _SHOWN else "")
            yield Problem(
                file=task.location.file,
                line=task.location.line,
                key=f"attributes.{index}.name",
                message=f"`{attribute.name}` is not a column that the task `{task.id}` returns; it returns {listed}.",
                hint=f"Did you mean `{close}`?" if close else "Remove the attribute, or return the column in the SQL.",
                severity="warning",
                code="attribute-not-returned",
            )


def _unknown_in(query: QualifiedQuery) -> Iterator[_Unknown]:
    """Yields the unknown columns in all scopes of a query."""
    columns = {name: [column.lower() for column, _ in listed] for name, listed in query.known.items()}
    for scope in query.root.traverse():
        if _is_odd(scope):
            continue
        for column in scope.columns:
            if column.parent_select is not scope.expression:  # of a subquery, which is a scope of its own
                continue
            known = _candidates(query, scope, column, columns)
            if known is None or column.name in known or _is_no_column(column, scope):
                continue
            identifier = column.this
            spelled = str(identifier.meta.get("spelled") or column.name)
            yield _Unknown(column.name, spelled, identifier.meta.get("start"), tuple(dict.fromkeys(known)))


def _is_odd(scope: Any) -> bool:
    """Whether a scope has columns that its sources do not have: pivots, lateral views, table functions."""
    from sqlglot import exp

    if scope.is_udtf or not isinstance(scope.expression, exp.Select):
        return True
    odd = (exp.Pivot, exp.Lateral, exp.MatchRecognize, exp.UDTF, exp.TableFromRows)
    return any(True for _ in scope.find_all(*odd))


def _candidates(query: QualifiedQuery, scope: Any, column: Any, columns: dict[str, list[str]]) -> list[str] | None:
    """Returns the columns that a name can refer to; None if they are not all known."""
    found: list[str] = []
    current = scope
    while current is not None:
        if current is not scope and _is_odd(current):
            return None
        for name, source in current.sources.items():
            if column.table and column.table != name:
                continue
            known = _columns_of(query, source, columns)
            if known is None:
                return None
            found += known
            if column.table:
                return found
        current = current.parent
    return found if found and not column.table else None


def _columns_of(query: QualifiedQuery, source: Any, columns: dict[str, list[str]]) -> list[str] | None:
    from sqlglot import exp

    if isinstance(source, exp.Table):
        return columns.get(source.name) or None
    if source.is_udtf or (source.is_cte and _is_recursive(source)):
        return None
    outputs = query.reader.outputs(source)
    if not outputs or any(output.name == "*" or output.name.startswith("_col") for output in outputs):
        return None
    return [output.name for output in outputs]


def _is_recursive(source: Any) -> bool:
    from sqlglot import exp

    clause = source.expression.find_ancestor(exp.With)
    return bool(clause is not None and clause.args.get("recursive"))


def _is_no_column(column: Any, scope: Any) -> bool:
    """Whether a name may be something other than a column of a table: an alias, a parameter, a field, a keyword."""
    from sqlglot import exp

    name = column.name
    if not name or name == "*" or name in _IGNORED or name.startswith(_ENGINE_PREFIXES):
        return True
    if isinstance(column.parent, exp.Dot) or column.find_ancestor(exp.Lambda, exp.Interval, exp.Kwarg, exp.PropertyEQ):
        return True
    if column.table:
        return False
    current = scope
    while current is not None:
        if name in current.sources or name in _aliases(current):  # a whole row, or an alias: many dialects allow both
            return True
        current = current.parent
    return False


def _aliases(scope: Any) -> set[str]:
    """Returns the aliases in the select list of a scope, and the names of its windows."""
    from sqlglot import exp

    selects: list[Any] = scope.expression.selects
    given = {one.alias.lower() for one in selects if isinstance(one, exp.Alias) and not _keeps_name(one)}
    return given | {one.name.lower() for one in scope.expression.args.get("windows") or ()}


def _keeps_name(alias: Any) -> bool:
    from sqlglot import exp

    return isinstance(alias.this, exp.Column) and alias.this.name.lower() == alias.alias.lower()
