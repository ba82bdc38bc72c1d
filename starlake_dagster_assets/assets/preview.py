"""Some rows of a table for people to look at, without what the project says is private."""

from collections.abc import Iterable, Sequence

import dagster as dg

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model import Project

__all__ = ["may_be_shown", "preview", "private_columns"]

_HIDDEN = "***"
_LONGEST = 60


def may_be_shown(node: Node) -> bool:
    """Whether rows of a table may be shown to everybody who sees the UI: not where row level security filters them."""
    thing = node.task or node.table
    return thing is not None and not thing.rls


def private_columns(project: Project) -> frozenset[str]:
    """The names, in lower case, of all columns that any table of the project protects by `privacy`.

    A transform that reads such a column gives it away under its name: the name is hidden everywhere.
    """
    every = [*project.tables, *project.tasks]
    return frozenset(
        one.final_name.lower() for thing in every for one in thing.attributes if one.privacy.upper() != "NONE"
    )


def preview(
    node: Node, private: frozenset[str], columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> dg.MarkdownMetadataValue:
    """Rows as a table of Markdown.

    Args:
        node: The table or task.
        private: Names that are hidden, in lower case.
        columns: The columns of the warehouse, in order.
        rows: Values, in the same order.
    """
    hidden = [name.lower() in private for name in columns]
    lines = [_line(columns), _line("---" for _ in columns)]
    lines += [_line(_HIDDEN if hide else value for hide, value in zip(hidden, row, strict=True)) for row in rows]
    return dg.MetadataValue.md("\n".join(lines) if rows else f"{node.id} has no rows.")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """One line, not too long, that cannot end its cell or become a link or a tag."""
    short = " ".join(text.split())
    short = short if len(short) <= _LONGEST else f"{short[:_LONGEST]}…"
    for sign in "\\|<>[]`*_":
        short = short.replace(sign, f"\\{sign}") if short != _HIDDEN else short
    return short
