"""The environment of a Starlake process: what is inherited, what is declared, and which of it is secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from starlake_dagster_assets.project.model.secret_names import is_secret_name

__all__ = ["ALWAYS", "DROPPED", "VARIABLE_NAME", "inherited", "required_log_level", "secret_values"]

ALWAYS: Sequence[str] = (
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TMPDIR",
        "TERM",
        "LD_LIBRARY_PATH",
    ),
    *("JAVA_*", "JDK_*", "_JAVA_OPTIONS", "SPARK_*", "HADOOP_*", "YARN_*", "SCALA_*", "SL_*"),
    *("GOOGLE_*", "GCLOUD_*", "GCP_*", "CLOUDSDK_*", "AWS_*", "AZURE_*", "SSL_CERT_*", "KRB5*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""Inherited in any case: what a shell, a JVM, Spark, Starlake and the clouds' own credentials need."""

VARIABLE_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Name of an environment variable, as Kubernetes accepts it."""
DROPPED = ("SL_HTTP_PORT",)
"""Turns the launcher into a client of a server."""
_VERBOSE = ("info", "debug", "trace", "all")
_SHORTEST = 4
_SHORTEST_INHERITED = 8
"""Minimal length of inherited secrets: short values, such as `true`, would blot out the log."""


def inherited(environ: Mapping[str, str], include: Sequence[str] | None) -> dict[str, str]:
    """Returns the part of an environment that a Starlake process gets.

    Args:
        environ: Of this process.
        include: Names, or patterns such as `PG*`, in addition to `ALWAYS`; None or `*` for all.
    """
    wanted = ("*",) if include is None else (*ALWAYS, *include)
    kept = {name: value for name, value in environ.items() if any(fnmatchcase(name, one) for one in wanted)}
    return {name: value for name, value in kept.items() if name not in DROPPED}


def required_log_level(field: str, variable: str | None) -> str:
    """Returns `SL_LOG_LEVEL`, raised to `info` if needed: without its lines no table is reported as it lands.

    Args:
        field: Of the resource; its default, `info`, leaves the word to the variable.
        variable: `SL_LOG_LEVEL` as it was given.
    """
    chosen = (field if field.lower() != "info" else None, variable)
    return next((level.lower() for level in chosen if level and level.lower() in _VERBOSE), "info")


def secret_values(
    declared: Mapping[str, str], inherited_values: Mapping[str, str], named: Iterable[str]
) -> frozenset[str]:
    """Values that are never shown.

    Args:
        declared: Variables that were given for Starlake.
        inherited_values: Variables of this process.
        named: Names whose values are always secret.
    """
    sure = {*named}
    values = {
        value for key, value in declared.items() if (key in sure or is_secret_name(key)) and len(value) >= _SHORTEST
    }
    values |= {value for key, value in inherited_values.items() if key in sure and len(value) >= _SHORTEST}
    values |= {
        value
        for key, value in inherited_values.items()
        if is_secret_name(key) and len(value) >= _SHORTEST_INHERITED and not value.startswith(("/", "file:"))
    }
    return frozenset(values)
