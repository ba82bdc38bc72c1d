"""Spark properties of a table or task, from its tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import RunnerError

__all__ = ["is_safe_for_launcher", "property_of_tag", "spark_of", "spark_variables"]

_OPTIONS = "SPARK_CONF_OPTIONS"
"""Environment variable with the options of `spark-submit` in the launcher of Starlake."""
_WORD = re.compile(r"[\w.,:/@%+=~^-]*")

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "spark_executor_cores": "spark.executor.cores",
        "spark_executor_instances": "spark.executor.instances",
        "spark_executor_memory": "spark.executor.memory",
    }
)


def spark_of(tags: Iterable[str]) -> Mapping[str, str]:
    """Returns the properties in tags such as `spark_executor_memory=8g` or `spark.sql.shuffle.partitions=400`.

    Args:
        tags: `tags` of a table or task.

    Returns:
        Value by property; empty if no tag sets one.
    """
    found: dict[str, str] = {}
    for tag in tags:
        name, equals, value = tag.partition("=")
        name = property_of_tag(name)
        if equals and name.startswith("spark."):
            found[name] = value.strip()
    return found


def property_of_tag(name: str) -> str:
    """Returns the Spark property that a tag sets, from the name of the tag: short names stand for a property."""
    return _NAMES.get(name.strip(), name.strip())


def is_safe_for_launcher(value: str) -> bool:
    """Whether Starlake's launcher passes a value unchanged: it splits blanks, and expands signs of the shell."""
    return _WORD.fullmatch(value) is not None


def spark_variables(command: Command, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the environment variable that passes the Spark properties of a command to the launcher of Starlake.

    Args:
        command: The command.
        environ: Variables of every command; Spark options in them are kept.

    Raises:
        RunnerError: When the launcher would split the value of a property.
    """
    for name, value in command.spark.items():
        if not is_safe_for_launcher(value):
            raise RunnerError(
                f"{command.name}: the Spark property `{name}` is {value!r}, and Starlake's launcher splits values at "
                "blanks and expands signs of the shell. Set it in `application.sl.yml`."
            )
    if not command.spark:
        return {}
    words = [f"--conf {name}={value}" for name, value in sorted(command.spark.items())]
    return {_OPTIONS: " ".join([*filter(None, [environ.get(_OPTIONS, "")]), *words])}
