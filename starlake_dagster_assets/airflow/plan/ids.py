"""Ids that Airflow accepts: in the form of starlake-airflow, or from asset keys."""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import quote

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Node

__all__ = ["Ids", "asset_uri", "dag_id", "id_part", "python_names", "starlake_airflow_name", "task_id", "unique"]

_LONGEST = 240
"""Maximum length of an id: Airflow limits ids to 250 characters, and some ids get a prefix."""
_INVALID = re.compile(r"[^\w-]")
"""Characters that Airflow does not accept in ids. It accepts letters of any script, but no combining marks."""
_INVALID_IN_STARLAKE_AIRFLOW = re.compile(r"[^A-Za-z0-9_-]")

Ids = Literal["starlake", "starlake-airflow", "asset"]


def id_part(text: str) -> str:
    """Returns a part of an id: `$` becomes `S`, letters and digits of any script stay, other characters become `_`.

    Examples:
        >>> id_part("order$ été-1"), id_part("注文")
        ('orderS_été-1', '注文')
    """
    return _INVALID.sub("_", unicodedata.normalize("NFC", text).replace("$", "S"))


def starlake_airflow_name(text: str) -> str:
    """Returns a name as starlake-airflow writes it into ids.

    Examples:
        >>> starlake_airflow_name("order$ été-1"), starlake_airflow_name("注文")
        ('orderS__t_-1', '__')
    """
    return _INVALID_IN_STARLAKE_AIRFLOW.sub("_", text.replace("$", "S"))


def asset_uri(key: tuple[str, ...], ids: Ids, template: str | None = None) -> str:
    """Returns the URI of an asset: starlake-airflow's (`<domain>_<table>`), or one built from the asset key.

    A scheme without `x-` would import every provider at each parse; Airflow 2 rejects URIs that are not ASCII.

    Examples:
        >>> asset_uri(("Sales", "Orders"), "starlake"), asset_uri(("Sales", "été"), "asset")
        ('sales_orders', 'x-starlake://Sales/%C3%A9t%C3%A9')
        >>> asset_uri(("Sales", "été"), "starlake"), asset_uri(("Sales", "été"), "starlake-airflow")
        ('sales_%C3%A9t%C3%A9', 'sales__t_')
    """
    form = template or ("x-starlake://{key}" if ids == "asset" else "{name}")
    path = "/".join(quote(part, safe="") for part in key)
    name = (starlake_airflow_name if ids == "starlake-airflow" else id_part)("_".join(key[-2:])).lower()
    return form.replace("{key}", path).replace("{name}", quote(name, safe=""))


def task_id(node: Node, key: tuple[str, ...], ids: Ids) -> str:
    """Returns the id of the task that materializes a node.

    `load_<domain>_<table>` and `<domain>_<task>_task` by raw names, as starlake-airflow has them; or the asset key.
    """
    if ids == "asset":
        return "__".join(_with_hash(id_part(part), part) for part in key)
    name = id_part(node.raw)
    return f"load_{name}" if node.kind == "table" else f"{name}_task"


def dag_id(parts: Iterable[str]) -> str:
    """Returns a DAG id, which is also the name of a file: lower-case letters, digits and `_`.

    A part with letters that are not ASCII gets a short hash. Accents are removed from letters; other letters are left
    out.

    Examples:
        >>> dag_id(["starlake", "Ventes d'été", "注文"])
        'starlake_ventes_d_ete_x7631ad_x266125'
    """
    return "_".join(found for part in parts if (found := _part(part)))[:_LONGEST]


def _part(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    found = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    whole = unicodedata.normalize("NFC", text)
    return found if not any(char.isalnum() and not char.isascii() for char in whole) else _with_hash(found, whole)


def _with_hash(part: str, text: str) -> str:
    """Returns a part of an id with a short hash of its text; without a hash if the part is the text."""
    return part if part == text else f"{part}_x{hashlib.sha256(text.encode()).hexdigest()[:6]}".lstrip("_")


def unique(what: str, names: Mapping[str, str], advice: str) -> None:
    """Raises an error if two nodes would have the same name, or if a name is too long.

    Args:
        what: Kind of the names, for the message: `task id` or `URI`.
        names: Names by node id.
        advice: The next step, for the end of the message.

    Raises:
        ProjectError: One problem per such name, and the advice.
    """
    seen: dict[str, str] = {}
    problems: list[str] = []
    for node, name in names.items():
        other = seen.setdefault(name, node)
        if other != node:
            problems.append(f"{other} and {node} would have the same {what} `{name}` in Airflow.")
        if len(name) > _LONGEST:
            problems.append(f"{node}: its {what} in Airflow would have more than {_LONGEST} characters.")
    if problems:
        raise ProjectError([*problems, f"Next: {advice}"])


def python_names(ids: Iterable[str], reserved: Iterable[str]) -> dict[str, str]:
    """Returns a Python name for each task id: the id itself if it is a valid name.

    Args:
        ids: Task ids.
        reserved: Names that the file uses for something else.
    """
    used = {*reserved}
    found: dict[str, str] = {}
    for one in ids:
        name = unicodedata.normalize("NFKC", one.rpartition(".")[2].replace("-", "_"))  # as Python reads it
        name = name if name.isidentifier() and not keyword.iskeyword(name) else f"task_{name}"
        while name in used:
            name = f"{name}_"
        used.add(name)
        found[one] = name
    return found
