"""Converts names of a project to names that Dagster accepts."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

import dagster as dg

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.owners import OWN_TAGS

__all__ = ["group_name", "key_part", "output_name", "tags_of", "validate_unique_asset_keys"]

_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_WORD = re.compile(r"[^A-Za-z0-9_]")
_LONGEST_TAG = 63


def key_part(text: str) -> str:
    """Returns a text as a part of an asset key, without accents and with `_` instead of other invalid characters.

    Examples:
        >>> key_part("café$2024"), key_part("a-b.c")
        ('cafe_2024', 'a-b.c')
    """
    return _KEY.sub("_", _plain(text)) or "_"


def group_name(text: str) -> str:
    """Returns a text as a group name of letters, digits and `_`, which every supported Dagster accepts."""
    return _WORD.sub("_", _plain(text)) or "default"


def output_name(key: dg.AssetKey) -> str:
    """Returns the name that Dagster gives to the output of an asset; it must be unique."""
    return "__".join(key.path).replace("-", "_").replace(".", "_")


def tags_of(tags: Iterable[str]) -> Mapping[str, str]:
    """Converts Starlake tags to Dagster tags: `k=v` to `k: v`, other tags to an empty value; settings are left out.

    Examples:
        >>> dict(tags_of(["pii", "team=données", "owner=a@b.com"]))
        {'pii': '', 'team': 'donnees'}
    """
    found: dict[str, str] = {}
    for tag in tags:
        key, _, value = tag.partition("=")
        if key.strip().lower() in OWN_TAGS or not key.strip():
            continue
        found[_tag(key.strip())] = _tag(value.strip())
    return found


def validate_unique_asset_keys(specs: Mapping[str, dg.AssetSpec], nodes: Mapping[str, Node]) -> None:
    """Raises an error if two nodes would become one asset.

    Args:
        specs: Asset specs by node id.
        nodes: Nodes by node id, for the file names in the message.

    Raises:
        ProjectError: One line for each collision, with both files.
    """
    seen: dict[str, str] = {}
    problems: list[str] = []
    for node_id, spec in specs.items():
        other = seen.setdefault(output_name(spec.key), node_id)
        if other != node_id:
            problems.append(
                f"{_where(nodes[node_id])}: {node_id} and {other} ({_where(nodes[other])}) both become the asset "
                f"{spec.key.to_user_string()} in Dagster. Rename one, or give it another key in a translator."
            )
    if problems:
        raise ProjectError(problems)


def _where(node: Node) -> str:
    return str(node.location) if node.location.file else node.id


def _tag(text: str) -> str:
    return _KEY.sub("_", _plain(text))[:_LONGEST_TAG]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))
