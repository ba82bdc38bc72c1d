"""The tree: packages list their modules, and tests mirror the packages."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "starlake_dagster_assets"
PACKAGES = sorted(path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py"))
FEW = 3
"""Number of modules that need no list."""
SPANNING = {
    "api", "benchmarks", "cases", "conformance", "corpus", "dagster_features", "deployment", "docs", "environments",
    "example", "fakes", "live", "packaging", "system", "transcripts", "without_dagster",
}  # fmt: skip
"""Directories of tests and of their data that belong to no single package."""


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_modules(package: str) -> None:
    directory = PACKAGE / package
    modules = sorted(path.stem for path in directory.glob("*.py") if path.stem != "__init__")
    documentation = ast.get_docstring(ast.parse((directory / "__init__.py").read_text(encoding="utf-8"))) or ""
    items = re.findall(r"^- ((?:`\w+`(?:, )?)+):", documentation, re.M)
    listed = sorted(name for item in items for name in re.findall(r"`(\w+)`", item))
    children = {path.parent.name for path in directory.glob("*/__init__.py")}
    if len(modules) > FEW or items:
        assert [name for name in listed if name not in children] == modules, (
            f"the docstring of {package}/__init__.py lists each module once: - `module`: half a line"
        )


def test_directories_of_tests_are_named_after_packages() -> None:
    tests = ROOT / "tests"
    found = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    others = {name for name in found if name != "." and name.partition("/")[0] not in SPANNING}
    mirrored = {name for name in others if any(_is_near(name, package) for package in PACKAGES)}
    assert others == mirrored, "name a directory of tests after the package that it tests, or list it in SPANNING"


def _is_near(name: str, package: str) -> bool:
    """Whether a directory is that of a package, or one level below it."""
    return name == package or (package != "." and name.rpartition("/")[0] == package)
