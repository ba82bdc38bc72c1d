"""Preview rows of a table, without the values that the project declares private."""

import re
from collections.abc import Callable, Iterable, Sequence

import dagster as dg

from starlake_dagster_assets.graph.model import Node

__all__ = ["as_table", "may_be_shown", "one_line"]

_HIDDEN = "***"
_LONGEST = 60
_SIGNS = re.compile(r"[\\|<>\[\]`*~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters that have a meaning in Markdown; an underscore within a word has none."""


def may_be_shown(node: Node) -> bool:
    """Whether rows of a table may be shown in the UI: not if the table has row-level security."""
    thing = node.definition
    return thing is not None and not thing.rls


def as_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], shows: Callable[[str], bool]
) -> dg.MarkdownMetadataValue:
    """Renders rows as a Markdown table, with `***` instead of values that may not be shown.

    Args:
        columns: Names of the columns, in order.
        rows: Values of each row, in the order of the columns.
        shows: Returns whether the values of a column may be shown.
    """
    shown = [shows(name) for name in columns]
    lines = [_line(columns), _line("---" for _ in columns)]
    lines += [_line(value if show else _HIDDEN for show, value in zip(shown, row, strict=True)) for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(one_line(cell) for cell in cells)} |"


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Shortens a text to one line of Markdown, escaped so that it cannot end its cell or become a link or a tag."""
    short = " ".join(text.split())
    if short == _HIDDEN:
        return short
    return _SIGNS.sub(r"\\\g<0>", short if len(short) <= longest else f"{short[:longest]}…")
