"""The generated project that a comparison needs, made once, and its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.generator import Plan, Shape, plan, write_project
from benchmarks.measure import Meter


def warm(_meter: Meter, work: Path, **shape: Any) -> None:
    """Writes a project of that shape and loads it once, so that its manifest is there."""
    write(_meter, work, **shape)
    source(work, **shape).graph  # noqa: B018


def write(_meter: Meter, work: Path, **shape: Any) -> None:
    """Writes a project of that shape."""
    root = root_of(work, **shape)
    if not root.exists():
        write_project(root, Shape(**shape))


def source(work: Path, **shape: Any) -> Any:
    """The project, with its manifest beside it."""
    from starlake_dagster_assets import StarlakeProject

    root = root_of(work, **shape)
    return StarlakeProject(root, cache_dir=root.parent / f"{root.name}-cache")


def planned(**shape: Any) -> Plan:
    """What the project holds, without a file."""
    return plan(Shape(**shape))


def root_of(work: Path, **shape: Any) -> Path:
    """Where the project of that shape is."""
    return work / "-".join(["project", *(f"{name}{value}" for name, value in sorted(shape.items()))])
