"""Summarizes the problems of a project for the log of a code location: one message per kind."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["summarize"]


def summarize(problems: Iterable[Problem], project: ProjectSource) -> list[str]:
    """Returns one message per kind of problem, errors first: count, first problem, and the command that lists all.

    Args:
        problems: The problems of a project.
        project: The project, for the command that lists them.
    """
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in sorted(dict.fromkeys(problems), key=lambda one: one.severity):
        kinds.setdefault((problem.severity, problem.code), []).append(problem)
    env = f" --env {shlex.quote(project.env)}" if project.env else ""
    command = f"starlake-dagster check {shlex.quote(str(project.root))}{env}"
    texts: list[str] = []
    for (severity, code), found in kinds.items():
        if len(found) == 1:
            texts.append(f"{severity} ({code}): {found[0]}")
        else:
            texts.append(f"{counted(len(found), severity)} ({code}), the first: {found[0]} To list them: {command}")
    return texts
