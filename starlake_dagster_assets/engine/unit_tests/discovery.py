"""Finds the unit tests of a project: one directory per test, below its table or task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Table, Task

__all__ = ["TestSelection", "UnitTest", "find_unit_tests", "names_of", "select_unit_tests"]

TestKind = Literal["load", "transform"]
KINDS: tuple[TestKind, ...] = ("load", "transform")


@dataclass(frozen=True)
class UnitTest:
    """A unit test of a table or task.

    Attributes:
        kind: `load` or `transform`.
        domain: Directory of the table or task.
        target: File stem of the table or task.
        name: Name of the test, that of its directory.
        directory: Its directory.
        levels: The directories whose SQL and variables apply to it: those of all tests, of the domain, of the table
            or task, and its own.
    """

    kind: TestKind
    domain: str
    target: str
    name: str
    directory: Path
    levels: tuple[Path, ...]

    @property
    def id(self) -> str:
        """Path of its directory below `metadata/tests`: `<kind>/<domain>/<target>/<name>`."""
        return f"{self.kind}/{self.domain}/{self.target}/{self.name}"


@dataclass(frozen=True)
class TestSelection:
    """Selection of unit tests by the options of `starlake test`.

    Attributes:
        load: Select tests of loads. With neither `load` nor `transform`, both kinds are selected.
        transform: Select tests of transforms.
        domain: Directory of the domain; None selects all.
        table: Table or task, as `<name>` or `<domain>.<name>`; None selects all.
        test: Name of the test; None selects all.
    """

    __test__ = False

    load: bool = False
    transform: bool = False
    domain: str | None = None
    table: str | None = None
    test: str | None = None


def names_of(item: Table | Task) -> tuple[tuple[str, str], ...]:
    """Returns the pairs of domain and name under which a table or task may have tests, those of its file first."""
    if isinstance(item, Task):
        return (item.transform_domain, item.stem), (item.domain, item.stem)
    return (item.domain, item.stem), (item.domain_name, item.stem)


def find_unit_tests(root: Path) -> tuple[UnitTest, ...]:
    """Returns the tests of a project, in the order of their names; none without `metadata/tests`.

    Args:
        root: The project's directory.

    Raises:
        EngineError: A data file is not in the directory of a test.
    """
    top = root / "metadata" / "tests"
    found: list[UnitTest] = []
    for kind in KINDS:
        _reject_misplaced_files(top / kind)
        for domain in _directories(top / kind):
            _reject_misplaced_files(domain)
            for target in _directories(domain):
                _reject_misplaced_files(target)
                for test in _directories(target):
                    levels = (top, domain, target, test)
                    found.append(UnitTest(kind, domain.name, target.name, test.name, test, levels))
    return tuple(found)


def select_unit_tests(tests: Sequence[UnitTest], selection: TestSelection) -> tuple[UnitTest, ...]:
    """Returns the selected tests.

    Args:
        tests: All tests of a project.
        selection: The options.

    Raises:
        EngineError: No test is selected. The message suggests the closest name.
    """
    chosen = [test for test in tests if _is_selected(test, selection)]
    if chosen:
        return tuple(chosen)
    if not tests:
        raise EngineError(
            "the project has no unit tests; create metadata/tests/transform/<domain>/<task>/<test>/ with the tables "
            "that the task reads (<domain>.<table>.csv) and its result (_expected.csv)"
        )
    for option, requested, names in (
        ("--domain", selection.domain, [test.domain for test in tests]),
        (
            "--table",
            selection.table,
            [name for test in tests for name in (test.target, f"{test.domain}.{test.target}")],
        ),
        ("--test", selection.test, [test.name for test in tests]),
    ):
        if requested is not None and requested not in names and (guess := closest_match(requested, names)):
            raise EngineError(f"no unit test is selected by {option} {requested}; did you mean {guess}?")
    listed = ", ".join(test.id for test in tests[:5])
    raise EngineError(f"no unit test is selected; the project has {listed}{' …' if len(tests) > 5 else ''}")


def _is_selected(test: UnitTest, selection: TestSelection) -> bool:
    kinds = {kind for kind in KINDS if getattr(selection, kind)} or set(KINDS)
    names = {None, test.target, f"{test.domain}.{test.target}"}
    return (
        test.kind in kinds
        and selection.domain in {None, test.domain}
        and selection.table in names
        and selection.test in {None, test.name}
    )


def _directories(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _reject_misplaced_files(folder: Path) -> None:
    """Raises an error for data files outside of the directory of a test, where they would be ignored."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and path.suffix in {".csv", ".json"} and not path.name.startswith("."):
            raise EngineError(
                f"{path} belongs to no test: move it into a directory per test, metadata/tests/<load or "
                "transform>/<domain>/<table or task>/<test>/"
            )
