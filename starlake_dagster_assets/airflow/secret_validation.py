"""Keeps secrets out of exported files, which end up in version control and in the database of Airflow."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from starlake_dagster_assets.airflow.plan.model import ExportPlan
from starlake_dagster_assets.airflow.shared_module import SHARED
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import contains_secret, find_secrets, secrets_of
from starlake_dagster_assets.errors import ProjectError

__all__ = ["validate_no_secrets"]

_SUFFIXES = (".yml", ".yaml", ".sql", ".j2", ".py", ".conf")
_HOMES = ("application.", "env.")
"""Name prefixes of files that may hold secrets: a message names them only if no other file contains the text."""


def validate_no_secrets(
    files: Mapping[str, str], project: ProjectSource, plan: ExportPlan, options: Mapping[str, str]
) -> None:
    """Raises an error if a text to be exported contains a secret, from any option or file of the project.

    Args:
        files: Texts by name.
        project: The project, whose secrets are known.
        plan: The exported DAGs, which name the files of the project that they are exported from.
        options: Options that no file of the project sets.

    Raises:
        ProjectError: A text contains a secret; one problem per line of the project, without the secret.
    """
    secrets = secrets_of(project.model)
    sources = {f"{dag.id}.py": dag.sources for dag in plan.dags}
    found: dict[str, None] = {}
    for name, text in files.items():
        if name.startswith(SHARED) or not contains_secret(text, secrets):
            continue
        lines = [line for line in text.splitlines() if contains_secret(line, secrets)]
        for line in lines or [text]:
            origin = _origin(_SecretFinder(line, secrets), project, sources.get(name, ()), options) or name
            found.setdefault(
                f"{origin}: holds a secret of the project or a URL with a password, which would be written into "
                f"the Airflow file {name}. Take it from a connection, a variable or the secrets backend of "
                "Airflow, or from the environment of its workers."
            )
    if found:
        raise ProjectError([*found])


class _SecretFinder:
    """Searches texts of the project for the secrets of an exported line.

    Args:
        line: The line, which contains a secret.
        secrets: Values that are known to be secret.
    """

    def __init__(self, line: str, secrets: Collection[str]) -> None:
        parts = (re.split(r"[\\\n]", part)[0] for part in find_secrets(line, secrets))
        self._parts = [part for part in parts if part]
        self._secrets = secrets

    def is_in(self, text: str) -> bool:
        """Whether a text contains one of the secrets, or any secret if those of the line are in an encoded form."""
        if self._parts:
            return any(part in text for part in self._parts)
        return contains_secret(text, self._secrets)


def _origin(
    secret: _SecretFinder, project: ProjectSource, sources: Sequence[str], options: Mapping[str, str]
) -> str | None:
    """Returns the file and the line, or the option, that contains a secret of an exported file; None if unknown."""
    lines = sorted(_lines_with(secret, project), key=lambda one: (one[0] not in sources, _is_home(one[0]), one))
    option = next((f"option {name}" for name, value in options.items() if secret.is_in(value)), None)
    if lines and not (option and _is_home(lines[0][0])):
        return f"{lines[0][0]}, line {lines[0][1]}"
    return option


def _lines_with(secret: _SecretFinder, project: ProjectSource) -> Iterator[tuple[str, int]]:
    """Yields the files of the project, by their paths below its root, and the lines that contain a secret."""
    for path in sorted((project.root / "metadata").rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                if secret.is_in(line):
                    yield path.relative_to(project.root).as_posix(), number


def _is_home(file: str) -> bool:
    return file.rpartition("/")[2].startswith(_HOMES)
