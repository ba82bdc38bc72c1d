"""Leaves out objects with errors, so that the rest of the project can be used."""

from __future__ import annotations

from starlake_dagster_assets.project.cache.manifest import Snapshot
from starlake_dagster_assets.project.model.project import Domain
from starlake_dagster_assets.project.model.project import TransformDomain as Transforms

__all__ = ["without_broken"]


def without_broken(snapshot: Snapshot) -> Snapshot:
    """Returns the objects whose own files, and those of their domain, have no error.

    Args:
        snapshot: All objects, and all problems.
    """
    broken = {problem.file for problem in snapshot.problems if problem.stops_object}
    domains: list[Domain] = []
    for domain in snapshot.domains:
        tables = tuple(table for table in domain.tables if table.location.file not in broken)
        if tables and domain.location.file not in broken:
            domains.append(domain.model_copy(update={"tables": tables}))
    transforms: list[Transforms] = []
    for group in snapshot.transforms:
        tasks = tuple(
            task
            for task in group.tasks
            if task.location.file not in broken and (task.sql_location is None or task.sql_location.file not in broken)
        )
        if tasks and group.location.file not in broken:
            transforms.append(group.model_copy(update={"tasks": tasks}))
    return snapshot.model_copy(update={"domains": tuple(domains), "transforms": tuple(transforms)})
