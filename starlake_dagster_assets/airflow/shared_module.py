"""The module that is exported next to the DAG files: macros, and the rules that decide results, in one file."""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files

__all__ = ["SHARED", "SharedModule", "build_shared_module"]

SHARED = "starlake_worker_"
"""Beginning of the name of the shared module."""

_BLOCKS = (ast.ClassDef, ast.FunctionDef)
_PACKAGE = "starlake_dagster_assets"
_MODULES = (
    "plural",
    "project/resolve/java_regex",
    "project/resolve/ack_files",
    "commands/model",
    "execution/evidence",
    "execution/audit_row_matching",
    "execution/table_progress",
    "execution/errors_in_log",
    "execution/parse",
    "execution/empty_loads",
    "execution/load_facts",
    "execution/reconcile",
    "execution/load_files",
    "execution/load_progress",
    "execution/restaged_file_name",
    "airflow/runtime/asset_updates",
    "airflow/runtime/macros",
    "airflow/runtime/update_condition",
    "airflow/runtime/proxying",
    "airflow/runtime/load_spec",
    "airflow/runtime/local_try_record",
    "airflow/runtime/loaded_files",
    "airflow/runtime/store_areas",
    "airflow/runtime/driver_log",
    "airflow/runtime/cloud_load",
    "airflow/runtime/cloud_transform",
    "airflow/worker",
)
_HEAD = '''\
{marker}
# ruff: noqa
# fmt: off
"""Shared code of the exported DAG files: macros, and the program that runs Starlake and decides the result of a task.

Generated from the modules of starlake-dagster-assets that Dagster steps use, so that a task in Airflow has the same
result as a step in Dagster. Needs Python 3.10 or later, and Jinja, which Airflow installs.
"""

from __future__ import annotations

'''


class SharedModule:
    """Source of the module that the DAG files import.

    Attributes:
        name: Name of the module, with a hash of the text, so that exports of different versions can share a folder.
        text: Source code.
    """

    def __init__(self, text: str) -> None:
        self.name = f"{SHARED}{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        self.text = text


@lru_cache(maxsize=1)
def build_shared_module(marker: str) -> SharedModule:
    """Builds the shared module from the concatenated sources of modules of this package.

    Args:
        marker: First line of the text.

    Raises:
        AssertionError: Two of the modules define the same name.
    """
    imports: dict[str, set[str]] = {}
    plain: set[str] = set()
    bodies: list[str] = []
    seen: dict[str, str] = {}
    for module in _MODULES:
        text = files(_PACKAGE).joinpath(f"{module}.py").read_text(encoding="utf-8")
        tree = ast.parse(text)
        for statement in tree.body:
            if isinstance(statement, ast.Import):
                plain |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module not in ("__future__", None):
                is_own = (statement.module or "").startswith(_PACKAGE)
                if not is_own:
                    imports.setdefault(statement.module or "", set()).update(alias.name for alias in statement.names)
        for name in _defined(tree):
            if seen.setdefault(name, module) != module:
                raise AssertionError(f"{module} and {seen[name]} both define {name}: rename one")
        bodies.append(f"# {'-' * 98} {module}\n\n\n{_body(text, tree.body)}")
    head = _HEAD.format(marker=marker)
    third = sorted(module for module in imports if module == "jinja2")
    lines = [f"import {name}" for name in sorted(plain)]
    lines += [_from(module, imports[module]) for module in sorted(imports) if module not in third]
    lines += ["", *(_from(module, imports[module]) for module in third)]
    return SharedModule(head + "\n".join(lines) + "\n\n" + "\n\n\n".join(bodies) + "\n")


def _from(module: str, names: set[str]) -> str:
    def order(name: str) -> tuple[int, str]:
        return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)

    line = f"from {module} import {', '.join(sorted(names, key=order))}"
    if len(line) <= 88:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in sorted(names, key=order)) + ")"


def _defined(tree: ast.Module) -> Iterator[str]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            yield from (one.id for one in statement.targets if isinstance(one, ast.Name) and one.id != "__all__")
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id


def _body(text: str, statements: Sequence[ast.stmt]) -> str:
    """Returns the source of a module without module docstring, imports and `__all__`; other docstrings keep one line.

    Docstrings of attributes and constants are left out.
    """
    lines: list[str | None] = [*text.splitlines()]
    for number, statement in enumerate(statements):
        docstring = number == 0 and isinstance(statement, ast.Expr)
        exported = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
        if docstring or exported or isinstance(statement, ast.Import | ast.ImportFrom):
            for line in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines[line] = ""
    nodes = [one for statement in statements for one in ast.walk(statement)]
    blocks = [one for one in nodes if isinstance(one, _BLOCKS)]
    for one in _texts_of_attributes([statements, *(block.body for block in blocks)]):
        lines[one.lineno - 1 : one.end_lineno or one.lineno] = [None] * ((one.end_lineno or 0) - one.lineno + 1)
    for one in blocks:
        if isinstance(first := one.body[0], ast.Expr):
            start, end = first.lineno - 1, first.end_lineno or first.lineno
            if end - start > 1 and ast.get_docstring(one) is not None:
                lines[start] = f'{(lines[start] or "").rstrip()}"""'
                lines[start + 1 : end] = [None] * (end - start - 1)
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(line for line in lines if line is not None)).strip("\n")


def _texts_of_attributes(bodies: Sequence[Sequence[ast.stmt]]) -> Iterator[ast.Expr]:
    """Yields the docstrings of attributes and constants: texts that follow an assignment."""
    for body in bodies:
        for before, then in itertools.pairwise(body):
            if not isinstance(before, ast.Assign | ast.AnnAssign):
                continue
            if isinstance(then, ast.Expr) and isinstance(then.value, ast.Constant):
                yield then
