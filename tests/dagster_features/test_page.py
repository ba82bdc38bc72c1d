"""The page `docs/dagster-features.md` and the tests of this directory: each row has a test, each test a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "dagster-features.md"
HEADER = "Feature"


def rows() -> list[str]:
    """The first cell of each row of the tables of features."""
    cells = [re.split(r"(?<!\\)\|", line)[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [cell for cell in cells if cell != HEADER and not set(cell) <= set("-: ")]


def features_with_tests() -> set[str]:
    """The texts of `dagster_feature(...)` marks below `tests/`."""
    found: set[str] = set()
    for file in HERE.parent.rglob("test_*.py"):
        text = file.read_text()
        if "dagster_feature" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "dagster_feature":
                found |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
    return found


def test_every_row_of_the_page_has_a_test_and_every_test_a_row():
    there = rows()
    assert len(there) == len(set(there))
    assert set(there) == features_with_tests()
