"""Files of a unit test, classified by their names, and the rows in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.unit_tests.discovery import UnitTest
from starlake_dagster_assets.engine.unit_tests.values import json_text, parse_json
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.files.rendering import substitute
from starlake_dagster_assets.project.files.yaml_io import YamlError, parse_yaml

__all__ = ["ExpectedRows", "InputTable", "Rows", "TestFiles", "read_rows", "unit_test_variables"]

_DATA = (".csv", ".json")
_INCOMING = "_incoming."
_EXPECTED = "_expected"
_ENV = "env.sl.yml"


@dataclass(frozen=True)
class InputTable:
    """A table that exists before the test: its schema, its name and the file of its rows."""

    schema: str
    table: str
    file: Path


@dataclass(frozen=True)
class ExpectedRows:
    """An expected result: the file of its rows, and the query that returns them; None = all rows of the target."""

    name: str
    file: Path
    query: str | None


@dataclass(frozen=True)
class TestFiles:
    """The files of a test.

    Attributes:
        given: Tables that exist before the test.
        incoming: Files to load, as pairs of the name under which they are loaded and the path.
        scripts: SQL files that are run before the test.
        expected: The expected results.
    """

    __test__ = False

    given: tuple[InputTable, ...]
    incoming: tuple[tuple[str, Path], ...]
    scripts: tuple[Path, ...]
    expected: tuple[ExpectedRows, ...]

    @staticmethod
    def of(test: UnitTest) -> TestFiles:
        """Reads the directory of a test.

        Raises:
            EngineError: A file has an unknown name, or the expected result or the file to load is missing.
        """
        files = sorted(path for path in test.directory.iterdir() if path.is_file() and not path.name.startswith("."))
        found = TestFiles(
            given=tuple(_given(path) for path in files if path.suffix in _DATA and not path.name.startswith("_")),
            incoming=tuple(
                (path.name.removeprefix(_INCOMING), path) for path in files if path.name.startswith(_INCOMING)
            ),
            scripts=tuple(script for level in test.levels for script in _scripts(level)),
            expected=tuple(_expected(files)),
        )
        _reject_unknown(test, files, found)
        return found


@dataclass(frozen=True)
class Rows:
    """Rows of a CSV or JSON file, as texts that are not converted yet; None is NULL."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


def read_rows(file: Path) -> Rows:
    """Reads the rows of a CSV file with a header, of a JSON list, or of JSON lines.

    An empty value of a CSV file is NULL; a quoted empty value is an empty text.

    Raises:
        EngineError: The file cannot be read.
    """
    try:
        return _csv(file) if file.suffix == ".csv" else _json(file)
    except (duckdb.Error, OSError, ValueError) as error:
        raise EngineError(f"cannot read {file.name}: {error}") from error


def unit_test_variables(test: UnitTest, variables: dict[str, str]) -> dict[str, str]:
    """Returns the variables of the `env.sl.yml` files of a test; those of a deeper level take precedence.

    Args:
        test: The test.
        variables: The variables of the project, which the values may use.

    Raises:
        EngineError: A file has no key `env` with variables.
    """
    found: dict[str, str] = {}
    for level in test.levels:
        path = level / _ENV
        if not path.is_file():
            continue
        try:
            document = parse_yaml(path.read_text(encoding="utf-8")).value
            values = cast("dict[str, Any]", document)["env"]
            found |= {str(name): substitute(str(value), {**variables, **found}) for name, value in values.items()}
        except (YamlError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise EngineError(f"{path}: expected a key `env` with variables ({error})") from error
    return found


def _scripts(level: Path) -> Iterable[Path]:
    return sorted(path for path in level.glob("*.sql") if path.is_file() and not path.name.startswith("_"))


def _given(path: Path) -> InputTable:
    schema, dot, table = path.stem.partition(".")
    if not dot or not schema or not table:
        raise EngineError(f"{path.name}: expected <domain>.<table>{path.suffix}, the table that exists before the test")
    return InputTable(schema, table, path)


def _expected(files: Sequence[Path]) -> Iterable[ExpectedRows]:
    queries = {path.stem: path for path in files if path.suffix == ".sql"}
    for path in files:
        if path.suffix in _DATA and _is_expected(path.stem):
            query = queries.get(path.stem)
            yield ExpectedRows(path.stem, path, query.read_text(encoding="utf-8") if query else None)


def _is_expected(stem: str) -> bool:
    return stem == _EXPECTED or stem.startswith(f"{_EXPECTED}_")


def _reject_unknown(test: UnitTest, files: Sequence[Path], found: TestFiles) -> None:
    if not found.expected:
        raise EngineError("the test has no expected result: add _expected.csv or _expected.json")
    results = {item.name for item in found.expected}
    known = {item.file for item in (*found.given, *found.expected)} | {path for _, path in found.incoming}
    known |= {*found.scripts, test.directory / _ENV}
    known |= {path for path in files if path.suffix == ".sql" and path.stem in results}
    for path in files:
        if path not in known:
            raise EngineError(
                f"unknown file {path.name}: a test has <domain>.<table>.csv, _incoming.<file>, _expected.csv, "
                "_expected_<name>.csv with _expected_<name>.sql, *.sql and env.sl.yml (.json as well as .csv)"
            )
    if test.kind == "load" and not found.incoming:
        raise EngineError("the test has no file to load: add _incoming.<file>")
    if test.kind == "transform" and found.incoming:
        raise EngineError(
            f"{found.incoming[0][1].name}: a task loads no file; only tests of loads have _incoming files"
        )


def _csv(file: Path) -> Rows:
    settings = "header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = false"
    with duckdb.connect() as con:
        relation = con.execute(f"SELECT * FROM read_csv({literal(str(file))}, {settings}, comment = '')")
        names = tuple(str(column[0]) for column in relation.description or ())
        return Rows(names, tuple(relation.fetchall()))


def _json(file: Path) -> Rows:
    text = file.read_text(encoding="utf-8-sig")
    is_list = text.lstrip().startswith("[")
    items: list[Any] = parse_json(text) if is_list else [parse_json(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(item, dict) for item in items):
        raise EngineError(f"{file.name}: expected one JSON object per row")
    columns = tuple(dict.fromkeys(str(key) for item in items for key in item))
    return Rows(columns, tuple(tuple(_text(item.get(name)) for name in columns) for item in items))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_text(value)
