"""The examples of docstrings give the results that stand below them."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import starlake_dagster_assets

ROOT = Path(starlake_dagster_assets.__file__).parent
MODULES = [
    ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert tried and not failed
