"""What a run makes, as assets: keys of nodes, and what is made with them because nobody else makes it."""

from collections.abc import Collection, Iterable

import dagster as dg

from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.triggers.model import Triggers

__all__ = ["asset_key", "unowned_upstreams"]


def asset_key(translator: StarlakeTranslator, node: str) -> dg.AssetKey:
    """The asset key of a node; of an id outside of the project, its parts.

    Args:
        translator: Bound to the project.
        node: Its id.
    """
    known = translator.graph.nodes.get(node)
    if known is not None:
        return translator.spec(known).key
    return dg.AssetKey(node.split("/" if "/" in node else "."))


def unowned_upstreams(
    project: ProjectSource, triggers: Triggers, members: Iterable[str], made: Collection[str]
) -> set[str]:
    """What nobody owns of what the members need, within their job (`run_dependencies_first`).

    Args:
        project: The project.
        triggers: Of the project.
        members: Ids of nodes that one trigger makes.
        made: Ids of all that their job makes.
    """
    found: set[str] = set()
    stack = list(members)
    while stack:
        for up in project.graph.upstream.get(stack.pop(), ()):
            owner = triggers.triggers[up].owner if up in triggers.triggers else "none"
            if up in made and owner == "none" and up not in found:
                found.add(up)
                stack.append(up)
    return found
