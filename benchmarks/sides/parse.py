"""Reading a project without a manifest, and after one file was edited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter
from benchmarks.sides import projects


def cold(meter: Meter, work: Path, **shape: Any) -> None:
    """Without a manifest."""
    import sqlglot  # noqa: F401 - imports are no part of either side

    from starlake_dagster_assets.project.load import load_project

    cache = work / "cold-cache"
    shutil.rmtree(cache, ignore_errors=True)
    with meter("ours"):
        project, problems = load_project(projects.root_of(work, **shape), cache_dir=cache)
    meter.notes |= {"tables": len(project.tables), "tasks": len(project.tasks), "problems": len(problems)}


def read(meter: Meter, work: Path, **shape: Any) -> None:
    """The least: each YAML by the C loader, each SQL by sqlglot, once."""
    import sqlglot
    import yaml

    root = projects.root_of(work, **shape)
    with meter("read"):
        for path in sorted(root.rglob("*.sl.yml")):
            yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        for path in sorted(root.rglob("*.sql")):
            sqlglot.parse_one(path.read_text(encoding="utf-8"), dialect="duckdb")


def edited(meter: Meter, work: Path, **shape: Any) -> None:
    """A warm load; then one SQL file is edited, and only it may be parsed again."""
    from starlake_dagster_assets.project.files import parsing

    root = projects.root_of(work, **shape)
    projects.source(work, **shape).graph  # noqa: B018 - imports what a load imports
    with meter("warm"):
        projects.source(work, **shape).graph  # noqa: B018
    parsed: list[str] = []
    parse = parsing.FileParser.parse

    def noted(self: Any, file: Any) -> Any:
        if file.kind not in ("application", "env"):
            parsed.append(file.path)
        return parse(self, file)

    parsing.FileParser.parse = noted  # type: ignore[method-assign]
    path = root / "metadata" / "transform" / "m0" / "k0.sql"
    path.write_text(f"{path.read_text(encoding='utf-8')}-- edited\n", encoding="utf-8")
    with meter("edited"):
        projects.source(work, **shape).graph  # noqa: B018
    if parsed != ["metadata/transform/m0/k0.sql"]:
        raise AssertionError(f"one file was edited, parsed were {parsed[:5]} ({len(parsed)})")
