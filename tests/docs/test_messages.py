"""The messages that pages quote are those of the package: a page that quotes one that has changed helps nobody."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, blocks

PACKAGE = ROOT / "starlake_dagster_assets"
HEADERS = ("| message |", "| what is said |", "| error |")
"""Tables whose first column quotes messages."""
OF_OTHERS = {
    # Google's
    "Insufficient 'CPUS' quota",
    "FailedPrecondition",
    "not in RUNNING state",
    "PermissionDenied",
    "run.jobs.runWithOverrides",
    "starlake starlake load",
    "NotFound",
    # Amazon's
    "MISSING",
    "TaskFailedToStart",
    "ResourceInitializationError",
    "CannotPullContainerError",
    "AccessDeniedException",
    "iam:PassRole",
    # the JVM's, Starlake's, DuckDB's
    "ClassNotFoundException",
    "Wrong java version",
    "JAVA_HOME is not set",
    "Unknown command stage",
    "dag.options.retrys",  # of the example
    "dataset_triggering_strategy",
    "Could not set lock on file",
}
"""Pieces of messages that other programs make."""
_QUOTED = re.compile(r"(`+)(.+?)\1(?!`)")


@cache
def templates() -> tuple[str, ...]:
    """The texts of the package, neighbours joined; what a format string fills in is `…`."""
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = _text(node)
            if text is not None:
                found.add(text)
    return tuple(found)


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part if (part := _text(value)) is not None else "…" for value in node.values)
    return None


def quoted(page: Path) -> Iterator[tuple[str, str]]:
    """Place and text of each quoted message of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    inside = False
    for number, line in enumerate(lines, 1):
        inside = line.startswith(HEADERS) or (inside and line.startswith("|"))
        if inside and not line.startswith((*HEADERS, "|--")):
            first = re.split(r"(?<!\\)\|", line)[1].replace(r"\|", "|")
            for match in _QUOTED.finditer(first):
                yield f"{page.name}:{number}", match[2].strip()
    for block in blocks(page):
        if block.language == "text":
            yield block.place, block.text


def pieces(message: str) -> list[str]:
    """What must stand in the package as it is: between `…` and `: `, without names in quotes, places and numbers."""
    first = message.splitlines()[0]
    found = re.split(r"…|`[^`]*`|: |\b[\w/.{}-]+\.(?:sl\.yml|py|sql)(?::\d+)?|\d[\d.,]*|<[A-Z]+>", first)
    return [piece for one in found if len(piece := one.strip(" ;,:.?()'*")) > 5]


def test_there_are_messages_to_look_for():
    told = [text for page in PAGES for _, text in quoted(page)]
    assert len(told) > 80
    assert "no file: nothing in the stage area matches the table's pattern" in told


@pytest.mark.parametrize("page", [page for page in PAGES if any(quoted(page))], ids=lambda page: page.name)
def test_quoted_messages_are_those_of_the_package(page: Path):
    gone = [
        f"{place}: {piece!r} of `{text.strip()}`"
        for place, text in quoted(page)
        for piece in pieces(text)
        if piece not in OF_OTHERS and not any(piece in template for template in templates())
    ]
    if gone:
        pytest.fail("no text of the package has (any more):\n" + "\n".join(gone), pytrace=False)
