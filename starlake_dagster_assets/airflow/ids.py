"""Names that Airflow accepts: those that users of starlake-airflow know, or asset keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Node

__all__ = ["Ids", "asset_uri", "unique", "word"]

_LONGEST = 200
_REFUSED = re.compile(r"[^A-Za-z0-9_]")

Ids = Literal["starlake", "asset"]


def word(text: str) -> str:
    """A part of an id, as starlake-airflow writes it: `$` becomes `S`, all else that is refused `_`."""
    return _REFUSED.sub("_", text.replace("$", "S"))


def asset_uri(template: str, key: tuple[str, ...]) -> str:
    """The URI of an asset; ASCII, for Airflow 2.

    Examples:
        >>> asset_uri("x-starlake://{key}", ("sales", "été"))
        'x-starlake://sales/%C3%A9t%C3%A9'
    """
    path = "/".join(quote(part, safe="") for part in key)
    return template.replace("{key}", path).replace("{name}", word("_".join(key)).lower())


def task_id(node: Node, key: tuple[str, ...], ids: Ids) -> str:
    """The id of the task that makes a node: `load_<domain>_<table>` or `<domain>_<table>`, or its asset key."""
    if ids == "asset":
        return "__".join(word(part) for part in key)
    domain, _, stem = node.raw.partition(".")
    name = f"{word(domain)}_{word(stem)}"
    return f"load_{name}" if node.kind == "table" else name


def unique(what: str, names: Mapping[str, str], advice: str) -> None:
    """Refuses names that two things would share, or that are too long.

    Args:
        what: `task id`, `URI`.
        names: The name by node id.
        advice: What to do.

    Raises:
        ProjectError: One line for each.
    """
    seen: dict[str, str] = {}
    problems: list[str] = []
    for node, name in names.items():
        other = seen.setdefault(name, node)
        if other != node:
            problems.append(f"{other} and {node} would have the same {what} `{name}` in Airflow. {advice}")
        if len(name) > _LONGEST:
            problems.append(f"{node}: its {what} in Airflow would have more than {_LONGEST} characters. {advice}")
    if problems:
        raise ProjectError(problems)
