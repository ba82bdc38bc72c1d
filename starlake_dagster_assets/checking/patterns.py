"""Overlapping patterns in one domain: if a file matches several tables, it is undefined which of them loads it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Domain, Project, Table
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["overlapping_patterns", "sample_names"]

_SAMPLES = 12
"""Maximum number of file names that are tried per pattern."""
_PREFIX = re.compile(r"(?:[A-Za-z0-9_\-]|\\[.\-_])*(?![?*{])")


def overlapping_patterns(project: Project) -> Iterator[Problem]:
    """Reports pairs of tables of one domain for which a file name exists that both patterns match.

    Args:
        project: The resolved project.
    """
    for domain in project.domains:
        yield from _of_domain(domain)


def sample_names(pattern: str) -> tuple[str, ...]:
    """Returns some file names that a pattern matches.

    Args:
        pattern: A Java regular expression.
    """
    compiled = compile_java(pattern)
    names = islice(_samples(_parse(compiled.pattern)), _SAMPLES)
    return tuple(dict.fromkeys(name for name in names if compiled.fullmatch(name)))


def _of_domain(domain: Domain) -> Iterator[Problem]:
    by_pattern: dict[str, Table] = {}
    by_prefix: dict[str, list[tuple[Table, tuple[str, ...]]]] = {}
    for table in domain.tables:
        first = by_pattern.setdefault(table.pattern, table)
        if first is not table:
            yield _duplicate(table, first)
            continue
        try:
            names = sample_names(table.pattern)
        except (ValueError, RecursionError):  # no regular expression: reported at load
            continue
        by_prefix.setdefault(_literal_prefix(table.pattern), []).append((table, names))
    # two patterns have a file in common only if the literal beginning of one begins that of the other
    for prefix, tables in by_prefix.items():
        shorter = [other for length in range(len(prefix)) for other in by_prefix.get(prefix[:length], ())]
        for index, (table, names) in enumerate(tables):
            for other, other_names in [*shorter, *tables[:index]]:
                shared = _shared(table, names, other, other_names)
                if shared is not None:
                    yield _overlap(table, other, shared)


def _shared(table: Table, names: Sequence[str], other: Table, other_names: Sequence[str]) -> str | None:
    mine, theirs = compile_java(table.pattern), compile_java(other.pattern)
    found = (name for name in names if theirs.fullmatch(name))
    return next(found, None) or next((name for name in other_names if mine.fullmatch(name)), None)


def _duplicate(table: Table, other: Table) -> Problem:
    return Problem(
        file=table.location.file,
        line=table.location.line,
        key="table.pattern",
        message=f"the pattern `{table.pattern}` is also that of {other.location.file}: each file matches both tables.",
        hint="Give each table a pattern that matches its own files only.",
        code="duplicate-pattern",
    )


def _overlap(table: Table, other: Table, name: str) -> Problem:
    return Problem(
        file=table.location.file,
        line=table.location.line,
        key="table.pattern",
        message=f"the pattern `{table.pattern}` matches files of `{other.pattern}` ({other.location.file}) as well, "
        f"such as `{name}`.",
        hint="Give each table a pattern that matches its own files only.",
        severity="warning",
        code="overlapping-patterns",
    )


def _literal_prefix(pattern: str) -> str:
    if "|" in pattern or pattern.startswith("(?"):
        return ""
    found = _PREFIX.match(pattern)
    return found[0].replace("\\", "") if found else ""


def _parse(pattern: str) -> Any:
    try:
        parser: Any = importlib.import_module("re._parser")
    except ImportError:  # Python 3.10
        parser = importlib.import_module("sre_parse")
    return parser.parse(pattern)


def _samples(tree: Any) -> Iterator[str]:
    """Yields texts that a parsed expression may match; look-around assertions are ignored."""
    parts = [list(islice(_item(kind, value), 3)) or [""] for kind, value in tree]
    yield "".join(part[0] for part in parts)
    for index, part in enumerate(parts):
        for choice in part[1:]:
            yield "".join(choice if at == index else one[0] for at, one in enumerate(parts))


def _item(kind: Any, value: Any) -> Iterator[str]:
    name = str(kind)
    if name == "LITERAL":
        yield chr(value)
    elif name in {"ANY", "NOT_LITERAL"}:
        yield from ("1", "x", "_")
    elif name == "IN":
        yield from _class(value)
    elif name == "BRANCH":
        for branch in value[1]:
            yield next(_samples(branch))
    elif name == "SUBPATTERN":
        yield from _samples(value[3])
    elif name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
        low, high, inner = value
        once = next(_samples(inner))
        yield once * max(low, min(1, int(high)))
        if low == 0:
            yield ""
    elif name == "ATOMIC_GROUP":
        yield from _samples(value)


def _class(items: Any) -> Iterator[str]:
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            yield chr(value)
        elif name == "RANGE":
            yield chr(value[0])
        elif name == "CATEGORY":
            yield {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(value), "x")
        elif name == "NEGATE":
            yield from ("1", "x")
