"""Variables of a project, by the precedence of their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.files.rendering import substitute
from starlake_dagster_assets.project.model.problems import Problem

__all__ = [
    "CLOCK",
    "MISSING_ENV",
    "PATHS",
    "RUN",
    "EnvFiles",
    "Variables",
    "choose_env",
    "date_variables",
    "missing_env",
    "resolve_variables",
]

MISSING_ENV = "missing-env"
"""Code of the problem of an environment that has no file; no other settings are used instead."""

_DEPTH = 10
_LARGEST = 65_536
"""Total number of characters at which values of an env file that refer to each other in a circle stop growing."""

CLOCK = frozenset(
    {"sl_date", "sl_datetime", "sl_year", "sl_month", "sl_day", "sl_hour", "sl_minute", "sl_second", "sl_milli"}
    | {"sl_epoch_second", "sl_epoch_milli"}
)
"""Variables that are set from the current time."""

RUN = frozenset({"sl_start_date", "sl_end_date", "sl_data_interval_start", "sl_data_interval_end", "SL_JOB_ID"})
"""Variables that each run sets."""

PATHS = frozenset(
    {"SL_ROOT", "SL_DATASETS", "SL_INCOMING", "SL_METADATA", "SL_DAGS", "SL_TESTS", "SL_TYPES", "SL_MACROS"}
    | {"SL_AREA_INCOMING", "SL_AREA_STAGE", "SL_AREA_UNRESOLVED", "SL_AREA_ARCHIVE", "SL_AREA_INGESTING"}
    | {"SL_AREA_REPLAY"}
)
"""Variables that the settings always determine."""


@dataclass(frozen=True)
class EnvFiles:
    """Parsed env files of a project, by the name of the environment; the name of `env.sl.yml` is ""."""

    maps: Mapping[str, Mapping[str, str]]

    @property
    def names(self) -> tuple[str, ...]:
        """The environments that have a file of their own."""
        return tuple(sorted(name for name in self.maps if name))


@dataclass(frozen=True)
class Variables:
    """Variables of a project, merged by precedence.

    Attributes:
        values: Values for rendering templates.
        stable: The same with placeholders for the time, the root and the variables of a run: the input of digests.
    """

    values: Mapping[str, str]
    stable: Mapping[str, str]


def choose_env(requested: str | None, environ: Mapping[str, str], files: EnvFiles, application: str = "") -> str | None:
    """Returns the name of the environment.

    Args:
        requested: The environment that the caller requested.
        environ: The process environment; `SL_ENV` is read.
        files: The env files; an `SL_ENV` key of `env.sl.yml` is used last.
        application: `application.env`, which takes precedence over `SL_ENV`.

    Returns:
        The name, or None for none.
    """
    return requested or application or environ.get("SL_ENV") or files.maps.get("", {}).get("SL_ENV") or None


def missing_env(
    name: str, requested: str | None, environ: Mapping[str, str], files: EnvFiles, application: str
) -> Problem:
    """Returns the error for an environment that has no file, with the closest name and the setting that named it.

    Args:
        name: The environment.
        requested: As for `choose_env`.
        environ: As for `choose_env`.
        files: As for `choose_env`.
        application: As for `choose_env`.
    """
    sources = {
        "": requested,
        "`application.env` of metadata/application.sl.yml": application,
        "the environment variable SL_ENV": environ.get("SL_ENV"),
    }
    source = next((text for text, value in sources.items() if value), "`SL_ENV` of metadata/env.sl.yml")
    named = f", named by {source}" if source else ""
    known = f"The environments are: {', '.join(files.names)}." if files.names else "The project has no environments."
    close = closest_match(name, files.names)
    hint = f"Did you mean `{close}`?" if close else "Create the file, or name no environment."
    message = f"no environment `{name}`{named}: the file does not exist. {known}"
    return Problem(file=f"metadata/env.{name}.sl.yml", message=message, hint=hint, code=MISSING_ENV)


def date_variables(now: datetime) -> dict[str, str]:
    """Returns the date variables of one moment.

    Args:
        now: The moment, with a time zone.
    """
    milli = now.microsecond // 1000
    return {
        "sl_date": f"{now:%Y%m%d}",
        "sl_datetime": f"{now:%Y%m%d%H%M%S}",
        "sl_year": f"{now:%Y}",
        "sl_month": f"{now:%m}",
        "sl_day": f"{now:%d}",
        "sl_hour": f"{now:%H}",
        "sl_minute": f"{now:%M}",
        "sl_second": f"{now:%S}",
        "sl_milli": f"{milli:03d}",
        "sl_epoch_second": str(int(now.timestamp())),
        "sl_epoch_milli": str(int(now.timestamp()) * 1000 + milli),
    }


def resolve_variables(
    root: str,
    env: str | None,
    files: EnvFiles,
    environ: Mapping[str, str],
    options: Mapping[str, str],
    now: datetime,
) -> Variables:
    """Merges the variables of all sources except those of `build_path_variables`, which need the application.

    Args:
        root: The project's root: `SL_ROOT`, regardless of the process environment.
        env: The environment's name.
        files: The env files.
        environ: The process environment; only names that begin with `SL_` are read.
        options: `--options` of the command line.
        now: The moment of the load.
    """
    system = {name: value for name, value in environ.items() if name.startswith("SL_")}
    if env is not None:
        system["SL_ENV"] = env
    times = date_variables(now)
    values = _layers({**system, "SL_ROOT": root, **times}, env, files, options)
    symbols = {name: f"${name}" for name in times}
    stable = _layers({**system, "SL_ROOT": "$SL_ROOT", **symbols}, env, files, options)
    for name in CLOCK | RUN | PATHS:
        if name in stable:
            stable[name] = f"${name}"
    # a value with the path of the root does not depend on the project
    stable = {name: value.replace(root, "$SL_ROOT") for name, value in stable.items()}
    return Variables({**values, "SL_ROOT": root}, stable)


def _layers(base: Mapping[str, str], env: str | None, files: EnvFiles, options: Mapping[str, str]) -> dict[str, str]:
    common = {name: substitute(value, base) for name, value in files.maps.get("", {}).items()}
    known = {**base, **common}
    written: Mapping[str, str] = files.maps.get(env, {}) if env else {}
    # a value that mentions its own name means the one that it overrides
    own = {name: substitute(value, {name: known[name]} if name in known else {}) for name, value in written.items()}
    for _ in range(_DEPTH):
        if sum(map(len, own.values())) > _LARGEST:
            break
        scope = {**known, **own}
        step = {
            name: substitute(value, {key: text for key, text in scope.items() if key != name})
            for name, value in own.items()
        }
        if step == own:
            break
        own = step
    blank = {name: "" for file in files.maps.values() for name in file}
    return {**blank, **known, **own, **options}
