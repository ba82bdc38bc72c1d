"""Validates the Spark properties of a table or task before a command is submitted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.commands.redaction import contains_secret
from starlake_dagster_assets.commands.spark import is_safe_for_launcher, property_of_tag, spark_of
from starlake_dagster_assets.execution.node_settings import InvalidSetting, NodeSettings
from starlake_dagster_assets.project.model.secret_names import is_secret

if TYPE_CHECKING:
    from starlake_dagster_assets.resources.base import StarlakeResource

__all__ = ["find_invalid_properties", "find_invalid_settings", "invalid_property"]

_NUMBER = (re.compile(r"[1-9]\d{0,8}"), "a whole number, such as `4`")
_MEMORY = (re.compile(r"\d+(?:b|[kmgtp]b?)?", re.IGNORECASE), "a whole number and a unit, such as `8g`")
_FORMATS: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        "spark.driver.cores": _NUMBER,
        "spark.driver.memory": _MEMORY,
        "spark.executor.cores": _NUMBER,
        "spark.executor.instances": (re.compile(r"\d{1,9}"), _NUMBER[1]),
        "spark.executor.memory": _MEMORY,
    }
)
"""Formats of values that Spark itself requires, in each environment."""


def find_invalid_properties(settings: NodeSettings, *, is_launched: bool, is_public: bool) -> Iterator[InvalidSetting]:
    """Yields the Spark properties of a table or task that Spark or Starlake's launcher would reject.

    Args:
        settings: The settings.
        is_launched: Whether Starlake's launcher passes the properties to Spark.
        is_public: Whether anyone who can view an execution can read them.
    """
    for name, value in settings.spark.items():
        expected = _FORMATS.get(name)
        if is_public and (is_secret(name, value) or contains_secret(value, settings.secrets)):
            reason = "it looks like a secret, and anyone who may look at an execution could read it"
        elif expected and not expected[0].fullmatch(value):
            reason = f"found {value[:40]!r}, expected {expected[1]}"
        elif is_launched and not is_safe_for_launcher(value):
            reason = "Starlake's launcher splits values at blanks and expands signs of the shell. Next: set it in "
            reason += "`application.sl.yml`"
        else:
            continue
        yield invalid_property(settings, name, reason)


def invalid_property(settings: NodeSettings, name: str, reason: str) -> InvalidSetting:
    """Returns an invalid Spark property, with the tag that sets it.

    Args:
        settings: The settings that have it.
        name: The property.
        reason: What was found and what was expected.
    """
    tags = [tag.partition("=")[0].strip() for tag in settings.tags]
    tag = next((one for one in reversed(tags) if property_of_tag(one) == name), "")
    if tag and spark_of(settings.tags).get(name) == settings.spark.get(name):
        return InvalidSetting(f"the tag `{tag}`: {reason}.", tag)
    return InvalidSetting(f"get_spark_config, `{name}`: {reason}.")


def find_invalid_settings(settings: NodeSettings, resource: StarlakeResource | None) -> Iterator[InvalidSetting]:
    """Yields the invalid Spark properties of a table or task of `StarlakeShell`.

    Without `SPARK_MASTER_URL`, the properties have no effect and are not validated.

    Args:
        settings: The settings.
        resource: The `StarlakeShell`; None if it is not known.
    """
    env: Mapping[str, Any] = getattr(resource, "env", {})
    if resource is None or "SPARK_MASTER_URL" in env or "SPARK_MASTER_URL" in os.environ:
        yield from find_invalid_properties(settings, is_launched=resource is not None, is_public=False)
