"""Owners of a table or task, from its tags and its `acl`."""

from __future__ import annotations

import re

from starlake_dagster_assets.graph.model import Node

__all__ = ["OWN_TAGS", "owners_of"]

OWN_TAGS = frozenset({"owner", "dagster_deps"})
"""Keys of tags that configure this package and are not labels."""

_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_PRINCIPAL = re.compile(r"^(?:user|group|serviceAccount|domain):", re.I)


def owners_of(node: Node) -> tuple[str, ...]:
    """Returns the owners of a node: `owner=…` tags, then grantees of `acl`; only e-mail addresses and `team:name`."""
    names = [tag.partition("=")[2].strip() for tag in node.tags if tag.partition("=")[0].strip().lower() == "owner"]
    thing = node.task or (None if node.is_files else node.table)
    grants = [grant for acl in thing.acl for grant in acl.grants] if thing is not None else []
    names += [_PRINCIPAL.sub("", grant.strip()) for grant in grants]
    return tuple(dict.fromkeys(owner for owner in names if _is_owner(owner)))


def _is_owner(text: str) -> bool:
    if text.startswith("team:"):
        return len(text) > len("team:")
    return _MAIL.fullmatch(text) is not None
