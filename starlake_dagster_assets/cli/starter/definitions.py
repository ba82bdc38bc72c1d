"""The Dagster code location: the whole Starlake project in one line."""

from pathlib import Path

from starlake_dagster_assets import StarlakeDuckDB, StarlakeMetadata, StarlakeProject, build_definitions

project = StarlakeProject(Path(__file__).parent / "starlake", env="DUCKDB")
rows = StarlakeMetadata(preview=5)  # five rows of each table in the UI
defs = build_definitions(project, starlake=StarlakeDuckDB(), metadata=rows)
