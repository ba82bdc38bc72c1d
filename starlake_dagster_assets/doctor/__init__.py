"""Checks whether a project can run: the machine, the execution environment, the warehouse."""

from starlake_dagster_assets.doctor.project import Finding

__all__ = ["Finding"]
