"""The examples of docstrings give the results that stand below them; documented names are those of the code."""

import ast
import doctest
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest

import starlake_dagster_assets

ROOT = Path(starlake_dagster_assets.__file__).parent
MODULES = [
    ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

_ENTRY = re.compile(r" {4}(\w+(?:, \w+)*)(?: \(.*?\))?:")


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert tried and not failed


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_names_exist(path: Path) -> None:
    unknown: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            known = _members(node) if isinstance(node, ast.ClassDef) else _parameters(node)
            unknown += [f"{node.name}: {name}" for name in _documented(node) if name not in known]
    assert not unknown, "documented in `Attributes:` or `Args:`, but not defined"


def _documented(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    lines = (ast.get_docstring(node) or "").splitlines()
    for number, line in enumerate(lines):
        if line in {"Attributes:", "Args:"}:
            for entry in takewhile(lambda text: not text or text.startswith(" "), lines[number + 1 :]):
                if match := _ENTRY.match(entry):
                    yield from match.group(1).split(", ")


def _parameters(node: ast.FunctionDef) -> set[str]:
    given = node.args
    rest = [one for one in (given.vararg, given.kwarg) if one]
    return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *rest)}


def _members(node: ast.ClassDef) -> set[str]:
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    stored = [part for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)]
    names = {part.id if isinstance(part, ast.Name) else part.attr for part in stored if isinstance(part.ctx, ast.Store)}
    return names.union(*(_parameters(one) for one in methods if one.name == "__init__"))
