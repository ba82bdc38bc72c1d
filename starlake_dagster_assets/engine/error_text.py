"""Messages of errors, without internal statements, tables and paths of the embedded engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

__all__ = ["error_text", "with_file_names"]

_OWN_VIEW = "sl_incoming AS "
_OWN_NAME = re.compile(r"(?:temp\.)?(?:main\.)?\bsl_incoming(?:_\w+)?\.")


def error_text(error: Exception) -> str:
    """Returns the message of an error; of a quoted statement, only the part that the user wrote."""
    if not isinstance(error, duckdb.Error):
        return str(error)
    head, _, block = str(error).strip().partition("\n\nLINE ")
    number, _, quoted = block.partition(": ")
    line, _, caret = quoted.partition("\n")
    cut = line.find(_OWN_VIEW)
    if cut >= 0:
        cut += len(_OWN_VIEW)
        line, caret = line[cut:], caret[cut:]
    text = _OWN_NAME.sub("", head)
    return f"{text}\n\nLINE {number}: {line}\n{caret}" if line.strip() and "sl_incoming" not in line else text


def with_file_names(text: str, files: Iterable[Path]) -> str:
    """Returns a message with file names instead of the paths of files during a load."""
    for file in files:
        text = text.replace(f"file:{file}", file.name).replace(str(file), file.name)
    return text
