"""Keeps secrets out of exported files, which end up in version control and in the database of Airflow."""

from __future__ import annotations

from collections.abc import Mapping

from starlake_dagster_assets.command.source import ProjectSource, contains_secret, secrets_of
from starlake_dagster_assets.errors import ProjectError

__all__ = ["refuse_secrets"]


def refuse_secrets(files: Mapping[str, str], project: ProjectSource) -> None:
    """Raises an error for texts that contain a secret, whatever option or file of the project it came from.

    Args:
        files: Texts by name.
        project: The project, whose secrets are known.

    Raises:
        ProjectError: A text contains a secret; one problem per line of a file, without the secret.
    """
    secrets = secrets_of(project.model)
    found = [
        f"{name}, line {number}: would hold a secret of the project or a URL with a password. Take it from a "
        "connection, a variable or the secrets backend of Airflow, or from the environment of its workers."
        for name, text in files.items()
        if not name.startswith("starlake_worker_")
        for number, line in enumerate(text.splitlines(), 1)
        if contains_secret(line, secrets)
    ]
    if found:
        raise ProjectError(found)
