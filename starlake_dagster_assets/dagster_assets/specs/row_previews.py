"""Preview rows of a table, without the values that the project declares private."""

import re
from collections.abc import Callable, Iterable, Sequence

import dagster as dg

from starlake_dagster_assets.graph.model import Node

__all__ = ["as_table", "may_be_shown", "one_line"]

_HIDDEN = "***"
_LONGEST = 60
_SIGNS = re.compile(r"[\\|<>\[\]`*~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters that Markdown does not show as they are; it shows an underscore within a word."""


def may_be_shown(node: Node) -> bool:
    """Whether rows of a table may be shown to everybody who sees the UI: not where row level security filters them."""
    thing = node.definition
    return thing is not None and not thing.rls


def as_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], shows: Callable[[str], bool]
) -> dg.MarkdownMetadataValue:
    """Rows as a table of Markdown.

    Args:
        columns: Their columns, in order.
        rows: Values, in the same order.
        shows: Whether the values of a column may be shown.
    """
    shown = [shows(name) for name in columns]
    lines = [_line(columns), _line("---" for _ in columns)]
    lines += [_line(value if show else _HIDDEN for show, value in zip(shown, row, strict=True)) for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(one_line(cell) for cell in cells)} |"


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Returns a text on one line of Markdown, shortened, that cannot end its cell or become a link or a tag."""
    short = " ".join(text.split())
    if short == _HIDDEN:
        return short
    return _SIGNS.sub(r"\\\g<0>", short if len(short) <= longest else f"{short[:longest]}…")
