"""A loaded project in one file, from which a code location loads without parsing the project's files.

Two lines of JSON: what the project was prepared with, and the resolved project. It holds no secret and no path of the
machine that wrote it, so that it may be part of an image or in the file store of another machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.cache.manifest import likely_secrets, may_be_secret
from starlake_dagster_assets.project.files.application import SETTINGS
from starlake_dagster_assets.project.files.discovery import read_sources
from starlake_dagster_assets.project.files.environment import CLOCK, RUN, date_variables
from starlake_dagster_assets.project.files.rendering import find_variable_names
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project

__all__ = ["read_prepared", "write_prepared"]

_ROOT = "\ue000"
"""Placeholder of the project's root, which is replaced when the file is read; no text contains it."""
_HIDDEN = "***"
_PROBLEMS = TypeAdapter(tuple[Problem, ...])


def write_prepared(
    path: Path,
    project: Project,
    problems: Iterable[Problem],
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Writes a loaded project to a file, which is replaced atomically.

    Args:
        path: The file; its directory is created.
        project: The project, just loaded from its files.
        problems: The problems of the project.
        env: The requested environment; None if `SL_ENV` and the files decide.
        options: The variables that it was loaded with.
        environ: The process environment (`SL_*`); by default `os.environ`.
    """
    texts = [file.content.decode("utf-8", "replace") for file in read_sources(Path(project.root)).files.values()]
    names = {name for text in texts for name in find_variable_names(text)}
    header = {
        "format": _format(),
        "version": _version(),
        "env": env,
        "inputs": _inputs(names, options or {}, os.environ if environ is None else environ),
        "names": sorted(name for name in names if _counts(name)),
        "problems": _PROBLEMS.dump_python(tuple(problems), mode="json", exclude_defaults=True),
    }
    content = f"{_json(header)}\n{_json(_portable(project, texts))}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as part:
        part.write_text(content, encoding="utf-8")


def read_prepared(
    path: Path,
    root: Path,
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Project, tuple[Problem, ...]]:
    """Reads a prepared project, without reading the files of the project.

    Args:
        path: The file.
        root: Directory of the project on this machine.
        env: The requested environment; it must be the one that the file was written for.
        options: Variables; they must be those that the file was written with.
        environ: The process environment (`SL_*`); by default `os.environ`.

    Returns:
        The project, without secrets, and its problems.

    Raises:
        ProjectError: When the file is missing or cannot be read, was written by a version with other models, or with
            another environment, other options or other values of the `SL_*` variables that the project reads.
    """
    values = os.environ if environ is None else environ
    again = f"Write it again: starlake-dagster prepare {root}{f' --env {env}' if env else ''} --out {path}"
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
        header = cast("dict[str, Any]", json.loads(head))
        made = str(header["version"])
        if header["format"] != _format():
            raise ProjectError([f"{_describe_origin(path, made)} {again}"])
        found = Project.model_validate_json(body.replace(_ROOT, _json(str(root))[1:-1]))
        problems = _PROBLEMS.validate_python(header["problems"])
        _same_inputs(path, header, env, _inputs(header["names"], options or {}, values), again)
    except FileNotFoundError as error:
        raise ProjectError([f"{path} is not there: the project was not prepared. {again}"]) from error
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ProjectError([f"{path} is not a prepared project ({type(error).__name__}). {again}"]) from error
    times = date_variables(datetime.now(timezone.utc).astimezone())
    mine = {name: value for name, value in values.items() if name.startswith("SL_")}
    variables = {**mine, **times, **found.variables, **(options or {})}
    return found.model_copy(update={"variables": variables}), problems


def _same_inputs(path: Path, header: Mapping[str, Any], env: str | None, inputs: Mapping[str, str], again: str) -> None:
    if header["env"] != env:
        raise ProjectError([f"{path} was written for the environment {header['env']}, but {env} is requested. {again}"])
    before = cast("Mapping[str, str]", header["inputs"])
    for name in sorted(before.keys() | inputs.keys()):
        # SL_ENV does not count if the environment is requested by name
        if before.get(name) != inputs.get(name) and not (env and name == "SL_ENV"):
            raise ProjectError([f"{path} was written with another value of {name} than the current one. {again}"])


def _inputs(names: Iterable[str], options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns hashes of the options and of the process variables that the project or its settings read."""
    read = {name for name in {*names, *SETTINGS, "SL_ENV"} if _counts(name)}
    found = {name: environ[name] for name in read if name in environ and name not in options}
    return {name: _hash(value) for name, value in sorted({**found, **options}.items()) if not may_be_secret(name)}


def _counts(name: str) -> bool:
    """Whether a variable of the process environment can change the loaded project."""
    return name.startswith("SL_") and name != "SL_ROOT" and name not in RUN and not may_be_secret(name)


def _portable(project: Project, texts: Iterable[str]) -> Any:
    """Returns the project without its root and its secrets."""
    secrets = likely_secrets(project.variables, project.application)
    written = "\n".join(texts)
    # what stands in a file for everybody to read is not a secret, and hiding it would garble names
    hidden = sorted((one for one in secrets if one not in written), key=len, reverse=True)
    data = project.model_dump(mode="json", exclude_defaults=True)
    data["variables"] = {
        name: value
        for name, value in data["variables"].items()
        if name not in CLOCK and not may_be_secret(name) and not any(secret in value for secret in secrets)
    }
    for connection in data["application"].get("connections", {}).values():
        options = connection.get("options", {})
        kept = {name: value for name, value in options.items() if not may_be_secret(name)}
        connection["options"] = {name: _replaced(value, secrets, project.root) for name, value in kept.items()}
    return _walk(data, hidden, project.root)


def _walk(value: Any, hidden: Iterable[str], root: str) -> Any:
    if isinstance(value, str):
        return _replaced(value, hidden, root)
    if isinstance(value, list):
        return [_walk(one, hidden, root) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _walk(one, hidden, root) for key, one in cast("dict[str, Any]", value).items()}
    return value


def _replaced(text: str, hidden: Iterable[str], root: str) -> str:
    for secret in hidden:
        text = text.replace(secret, _HIDDEN)
    at = text.find(root)
    while at >= 0:
        end = at + len(root)
        # not within a longer name: /app is the root, /data/app and /application are not below it
        whole = (at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "._-")) and text[end : end + 1] in _AFTER
        text = f"{text[:at]}{_ROOT}{text[end:]}" if whole else text
        at = text.find(root, at + 1)
    return text


_AFTER = ("", "/", "'", '"', " ", ";", ",", ")", "?", "\n")
"""Characters that can follow the root in a text."""


@cache
def _format() -> str:
    """Returns a hash of the schema of the models."""
    return _hash(json.dumps(Project.model_json_schema(), sort_keys=True))


def _describe_origin(path: Path, version: str) -> str:
    """Returns the message for a project that a version of this package with other models has prepared."""
    if version == _version():
        return f"{path} was written by a build of starlake-dagster-assets {version} with other models than this one."
    return f"{path} was written by starlake-dagster-assets {version}, this is {_version()}."


def _version() -> str:
    try:
        return metadata.version("starlake-dagster-assets")
    except metadata.PackageNotFoundError:
        return "unknown"


def _hash(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
