"""Importing the package, and Dagster alone; the whole process counts."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Meter


def ours(meter: Meter, _work: Path) -> None:
    """`import starlake_dagster_assets`."""
    with meter("ours"):
        import starlake_dagster_assets  # noqa: F401
    meter.notes["modules"] = len(sys.modules)


def used(meter: Meter, _work: Path) -> None:
    """What a `definitions.py` imports: names are loaded when they are asked for."""
    with meter("used"):
        from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions  # noqa: F401
    meter.notes["modules"] = len(sys.modules)


def dagster(meter: Meter, _work: Path) -> None:
    """`import dagster`."""
    with meter("dagster"):
        import dagster  # noqa: F401
    meter.notes["modules"] = len(sys.modules)
