"""Task SQL: its `--SL_…` sections, its comments, its statements."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "Sections",
    "blank_comments",
    "find_unclosed_delimiter",
    "main_section",
    "split_sections",
    "split_statements",
    "strip_comments",
    "temporary_tables",
]

_MARKER = re.compile(r"^[ \t]*--[ \t]*SL_(PRESQL|SQL|POSTSQL)[ \t]*$", re.MULTILINE)
_SHAPE = (
    r"(?P<kept>\$(?P<tag>[A-Za-z_]\w*)\$.*?\$(?P=tag)\$|\$\$.*?\$\$"
    r"|'(?:%s|'')*'|\"(?:%s|\"\")*\"|`[^`]*`)"
    r"|(?P<line>--[^\n]*)|(?P<block>/\*.*?(?:\*/|\Z))|(?P<end>;)"
)
_PLAIN = re.compile(_SHAPE % ("[^']", '[^"]'), re.DOTALL)
_ESCAPED = re.compile(_SHAPE % (r"[^'\\]|\\.", r'[^"\\]|\\.'), re.DOTALL)
_TEMPORARY = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\s+(?:table|view)\s+"
    r"(?:if\s+not\s+exists\s+)?[\"`]?(\w+)[\"`]?(?![\w.])",
    re.IGNORECASE,
)
_TRAILING = re.compile(r"[ \t\r]+\n")
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")
_BACKSLASH = frozenset({"bigquery", "databricks", "hive", "mysql", "snowflake", "spark"})


@dataclass(frozen=True)
class Sections:
    """The three parts of a SQL file; "" for a missing part."""

    presql: str
    sql: str
    postsql: str


def split_sections(text: str) -> Sections:
    """Splits a rendered SQL file at the lines `--SL_PRESQL`, `--SL_SQL` and `--SL_POSTSQL`.

    Args:
        text: The text of the file; without a marker all of it is the main SQL.

    Returns:
        The sections: of several `SL_SQL` sections the first that is not empty.
    """
    marks = list(_MARKER.finditer(text))
    if not marks:
        return Sections("", text.strip(), "")
    parts: dict[str, list[str]] = {"PRESQL": [], "SQL": [], "POSTSQL": []}
    head = text[: marks[0].start()].strip()
    for mark, after in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=True):
        body = text[mark.end() : after].strip()
        if body:
            parts[mark[1]].append(body)
    main = parts["SQL"][0] if parts["SQL"] else head
    return Sections("\n".join(parts["PRESQL"]), main, "\n".join(parts["POSTSQL"]))


def main_section(text: str) -> tuple[int, int]:
    """Returns the start and end of the main SQL in a SQL file: the section that `split_sections` returns as `sql`."""
    marks = list(_MARKER.finditer(text))
    if not marks:
        return 0, len(text)
    for mark, after in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=True):
        if mark[1] == "SQL" and text[mark.end() : after].strip():
            return mark.end(), after
    return 0, marks[0].start()


def blank_comments(sql: str, dialect: str = "") -> str:
    """Replaces comments that are not inside quotes with spaces: all other characters keep their positions."""

    def blank(match: re.Match[str]) -> str:
        is_comment = match["line"] is not None or match["block"] is not None
        return re.sub(r"[^\n]", " ", match[0]) if is_comment else match[0]

    return _tokens(dialect).sub(blank, sql)


def strip_comments(sql: str, dialect: str = "") -> str:
    """Removes `--` and `/* */` comments that are not inside quotes.

    Args:
        sql: Any SQL.
        dialect: The sqlglot dialect: in some, a backslash escapes a quote.

    Returns:
        The SQL without comments, without blank lines and trailing spaces outside quotes, without a final `;`.
    """
    out: list[str] = []
    loose = ""
    last = 0
    for match in _tokens(dialect).finditer(sql):
        loose += sql[last : match.start()]
        last = match.end()
        if match["kept"] is not None:
            out += [_tidy(loose), match["kept"]]
            loose = ""
        elif match["block"] is not None:
            loose += " "
        elif match["end"] is not None:
            loose += ";"
    text = "".join([*out, _tidy(loose + sql[last:])]).strip()
    while text.endswith(";"):
        text = text[:-1].rstrip()
    return text


def _tidy(loose: str) -> str:
    return _BLANK.sub("\n", _TRAILING.sub("\n", loose))


def split_statements(sql: str, dialect: str = "") -> tuple[str, ...]:
    """Splits SQL at the `;` that are not inside quotes or comments.

    Args:
        sql: Any SQL.
        dialect: The sqlglot dialect.

    Returns:
        The statements, without the `;`, the empty ones left out.
    """
    parts: list[str] = []
    last = 0
    for match in _tokens(dialect).finditer(sql):
        if match["end"] is not None:
            parts.append(sql[last : match.start()])
            last = match.end()
    parts.append(sql[last:])
    return tuple(part.strip() for part in parts if part.strip())


def find_unclosed_delimiter(sql: str, dialect: str = "") -> str | None:
    """Returns the quote or parenthesis that a SQL text opens and never closes, which is an error in any dialect.

    Args:
        sql: Any SQL, without comments.
        dialect: The sqlglot dialect.

    Returns:
        A text with the delimiter and its line; None if all are closed.
    """
    plain = _tokens(dialect).sub(lambda match: "\n" * match[0].count("\n"), sql)
    opened: list[int] = []
    for found in re.finditer(r"[()'\"`]", plain):
        line = plain.count("\n", 0, found.start()) + 1
        if found[0] == "(":
            opened.append(line)
        elif found[0] != ")":
            return f"the {found[0]} of line {line} is never closed"
        elif opened:
            opened.pop()
        else:
            return f"the ) of line {line} closes nothing"
    return f"the ( of line {opened[-1]} is never closed" if opened else None


def temporary_tables(sql: str) -> frozenset[str]:
    """Returns the temporary tables and views that a SQL text creates: their names without schema, in lower case.

    Args:
        sql: Any SQL, without comments.
    """
    return frozenset(name.lower() for name in _TEMPORARY.findall(sql))


def _tokens(dialect: str) -> re.Pattern[str]:
    return _ESCAPED if dialect in _BACKSLASH else _PLAIN
