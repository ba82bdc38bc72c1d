"""Options of readers (`metadata.options`): used, ignored or rejected."""

from __future__ import annotations

from collections.abc import Mapping

from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Table

__all__ = ["HARMLESS", "check_options", "dsv_options"]

_DSV: Mapping[str, str] = {
    "sep": "separator",
    "delim": "separator",
    "delimiter": "separator",
    "separator": "separator",
    "quote": "quote",
    "escape": "escape",
    "header": "header",
    "multiline": "multiline",
    "comment": "comment",
}

HARMLESS = frozenset(
    {
        "all_varchar",
        "auto_detect",
        "charset",
        "columns",
        "encoding",
        "enforceschema",
        "filename",
        "ignore_errors",
        "inferschema",
        "maxcharspercolumn",
        "maxcolumns",
        "maximum_line_size",
        "max_line_size",
        "mode",
        "null_padding",
        "parallel",
        "parserlib",
        "samplesize",
        "sample_size",
        "samplingratio",
        "store_rejects",
        "strict_mode",
        "union_by_name",
        "unescapedquotehandling",
    }
)
"""Options that change nothing here: the attributes declare the types, and rejected rows are always separated."""


def check_options(table: Table, known: Mapping[str, str]) -> dict[str, str]:
    """Returns the options of a table, by the names its reader gives them.

    Args:
        table: The table.
        known: Option names in lower case → the reader's own names.

    Returns:
        Values by the reader's names.

    Raises:
        EngineError: When an option is neither known nor harmless.
    """
    found: dict[str, str] = {}
    for key, value in table.metadata.options.items():
        name = key.lower()
        if name in known:
            found[known[name]] = value
        elif name not in HARMLESS:
            close = closest_match(key, [*known, *HARMLESS])
            hint = f" Did you mean '{close}'?" if close else ""
            raise EngineError(
                f"table '{table.raw}': metadata.options.{key} is not supported by the embedded engine "
                f"for {table.metadata.format}.{hint}"
            )
    return found


def dsv_options(table: Table) -> dict[str, str]:
    """Returns the options of a DSV table: separator, quote, escape, header, multiline, comment."""
    return check_options(table, _DSV)
