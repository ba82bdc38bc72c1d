"""Asset checks for the unit tests of `metadata/tests`; the embedded engine runs each test on a database of its own."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.names import output_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.graph.model import Node

if TYPE_CHECKING:
    from starlake_dagster_assets.engine.unit_tests.discovery import UnitTest
    from starlake_dagster_assets.engine.unit_tests.run import UnitTestResult

__all__ = ["build_unit_test_checks"]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")


def build_unit_test_checks(translator: StarlakeTranslator, nodes: Iterable[Node]) -> list[dg.AssetChecksDefinition]:
    """Builds the checks of the nodes that have unit tests: one definition per node, one check per test.

    Args:
        translator: Translator that is bound to the project; its setting `enable_unit_test_checks` enables the checks.
        nodes: The nodes that have assets.

    Raises:
        RunnerError: The checks are enabled, and DuckDB is not installed.
        EngineError: A data file is not in the directory of a test.
    """
    if not translator.switches.enable_unit_test_checks:
        return []
    require_extra("duckdb", "duckdb")
    from starlake_dagster_assets.engine.unit_tests.discovery import find_unit_tests, names_of

    tests = find_unit_tests(translator.source.root)
    found: list[dg.AssetChecksDefinition] = []
    for node in nodes:
        item = node.definition
        if item is not None and not node.is_files:
            kind = "transform" if node.task is not None else "load"
            own = [test for test in tests if test.kind == kind and (test.domain, test.target) in names_of(item)]
            if own:
                found.append(_checks(translator.source, translator.spec(node).key, _named(own)))
    return found


def _named(tests: Sequence["UnitTest"]) -> Mapping[str, "UnitTest"]:
    """Returns the tests by the names of their checks, which are unique."""
    named: dict[str, UnitTest] = {}
    for test in tests:
        base = name = f"unit_test_{_NOT_IN_NAMES.sub('_', test.name)}"
        number = 2
        while name in named:
            name, number = f"{base}_{number}", number + 1
        named[name] = test
    return named


def _checks(source: ProjectSource, key: dg.AssetKey, tests: Mapping[str, "UnitTest"]) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(name, asset=key, description=f"The unit test metadata/tests/{test.id}.")
        for name, test in tests.items()
    ]

    @dg.multi_asset_check(
        name=f"unit_tests_{_NOT_IN_NAMES.sub('_', output_name(key))}",
        specs=specs,
        can_subset=True,
        description="Unit tests of metadata/tests, run by the embedded engine on a database of their own.",
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from starlake_dagster_assets.engine.unit_tests.run import run_unit_tests

        selected = {check.name for check in context.selected_asset_check_keys}
        chosen = {name: test for name, test in tests.items() if name in selected}
        results = run_unit_tests(source.root, list(chosen.values()), env=source.env, options=source.options)
        for name, result in zip(chosen, results, strict=True):
            yield _result(key, name, result)

    return checks


def _result(key: dg.AssetKey, name: str, result: "UnitTestResult") -> dg.AssetCheckResult:
    text = "\n".join(result.lines())
    metadata: dict[str, dg.MetadataValue] = {"starlake/seconds": dg.MetadataValue.float(round(result.seconds, 3))}
    if text:
        metadata["starlake/difference"] = dg.MetadataValue.md(f"```\n{text}\n```")
    reason = (
        result.error.partition("\n")[0] if result.status == "error" else "The result differs from the expected one."
    )
    return dg.AssetCheckResult(
        passed=result.status == "passed",
        asset_key=key,
        check_name=name,
        severity=dg.AssetCheckSeverity.ERROR,
        description=reason if result.status != "passed" else None,
        metadata=metadata,
    )
