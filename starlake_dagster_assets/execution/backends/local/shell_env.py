"""Environment variables of a Starlake process: inherited and declared variables, and those that are secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from starlake_dagster_assets.commands.redaction import find_secrets
from starlake_dagster_assets.project.model.secret_names import is_secret

__all__ = [
    "ALWAYS",
    "DROPPED",
    "RESERVED_VARIABLES",
    "VARIABLE_NAME",
    "inherited",
    "required_log_level",
    "secret_values",
]

RESERVED_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "SL_ENV": "it is that of the project, which must be known",
        "SL_HTTP_PORT": "it turns the launcher into a client of a server, and no command would run",
        "SL_JOB_ID": "each command gets its own value, by which the audit is read",
    }
)
"""Reasons why raw configuration and secrets cannot set a variable, by the name of the variable."""
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
"""Variables that are always inherited: those of a shell, a JVM, Spark, Starlake and the credentials of clouds."""

VARIABLE_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Name of an environment variable, as Kubernetes accepts it."""
DROPPED = ("SL_HTTP_PORT",)
"""Variables that are never inherited: `SL_HTTP_PORT` turns the launcher into a client of a server."""
_VERBOSE = ("info", "debug", "trace", "all")
_SHORTEST = 4
_SHORTEST_INHERITED = 8
"""Minimum length of inherited values that are redacted: shorter ones, such as `true`, also occur in ordinary text."""


def inherited(environ: Mapping[str, str], include: Sequence[str] | None) -> dict[str, str]:
    """Returns the environment variables that a Starlake process inherits.

    Args:
        environ: Environment variables of this process.
        include: Names, or patterns such as `PG*`, in addition to `ALWAYS`; None or `*` for all.
    """
    wanted = ("*",) if include is None else (*ALWAYS, *include)
    kept = {name: value for name, value in environ.items() if any(fnmatchcase(name, one) for one in wanted)}
    return {name: value for name, value in kept.items() if name not in DROPPED}


def required_log_level(field: str, variable: str | None) -> str:
    """Returns `SL_LOG_LEVEL`, at least `info`: less verbose logs do not report tables as they are loaded.

    Args:
        field: Level of the resource; the variable applies if this is `info`, the default.
        variable: Value of `SL_LOG_LEVEL`; None if it is not set.
    """
    chosen = (field if field.lower() != "info" else None, variable)
    return next((level.lower() for level in chosen if level and level.lower() in _VERBOSE), "info")


def secret_values(
    declared: Mapping[str, str], inherited_values: Mapping[str, str], named: Iterable[str]
) -> frozenset[str]:
    """Returns the values that are never shown: secrets by the rule of all environments, and variables of given names.

    Args:
        declared: Variables that were given for Starlake.
        inherited_values: Variables of this process.
        named: Names whose values are always secret.
    """
    sure = {*named}
    values = {value for variables in (declared, inherited_values) for key, value in variables.items() if key in sure}
    found = {one for one in (*values, *_secrets_in(declared)) if len(one) >= _SHORTEST}
    found |= {one for one in _secrets_in(inherited_values) if len(one) >= _SHORTEST_INHERITED}
    return frozenset(found)


def _secrets_in(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if is_secret(name, value) and not value.startswith("file:"):
            yield value
        yield from find_secrets(value)
