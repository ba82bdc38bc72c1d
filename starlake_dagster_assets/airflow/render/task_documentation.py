"""Texts that Airflow shows: Markdown of tasks with comment, columns, checks and SQL; titles and tags of DAGs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from starlake_dagster_assets.airflow.plan.operator_arguments import TAG
from starlake_dagster_assets.automation.policies.model import Job
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.owners import OWN_TAGS
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.project import Attribute

__all__ = ["document", "source_files", "tags_of_dag", "title"]

_FEW = 4
_MANY = 24
_LONGEST_TAG = 100


def document(nodes: Sequence[Node]) -> str:
    """Returns the Markdown of a task; empty if the nodes have only a name.

    Args:
        nodes: The nodes of the task.
    """
    texts = [_document(node) for node in nodes]
    named = [f"**{node.id}**" for node in nodes]
    return "\n\n".join(texts) + "\n" if texts != named else ""


def title(nodes: Sequence[Node]) -> str:
    """Returns the title of a DAG: its purpose in a few words.

    Args:
        nodes: The nodes of the DAG, at least one.
    """
    phases: list[str] = []
    for kind, verb in (("table", "Loads"), ("task", "Produces")):
        names = [node.id for node in nodes if node.kind == kind]
        if len(names) > _FEW:
            schemas = dict.fromkeys(node.domain for node in nodes if node.kind == kind)
            phases.append(f"{verb} {len(names)} tables of {_listed(list(schemas))}")
        elif names:
            phases.append(f"{verb} {_listed(names)}")
    return ", then ".join(text if not number else text[0].lower() + text[1:] for number, text in enumerate(phases))


def source_files(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Returns the files of the project that describe the nodes, sorted; their directories if there are many."""
    found: set[str] = set()
    for node in nodes:
        made = node.definition
        if made is not None:
            found.add(made.location.file)
        if node.task is not None and node.task.sql_location is not None:
            found.add(node.task.sql_location.file)
    if len(found) <= _MANY:
        return tuple(sorted(found))
    count = Counter(file.rpartition("/")[0] for file in found)
    return tuple(f"{directory} ({counted(number, 'file')})" for directory, number in sorted(count.items()))


def _document(node: Node) -> str:
    made = node.definition
    parts = [f"**{node.id}**" + (f" (`{node.raw}` for Starlake)" if node.raw != node.id else "")]
    if made is None:
        return parts[0]
    if made.comment:
        parts.append(made.comment.strip())
    if made.attributes:
        parts.append("| column | type | |\n|---|---|---|\n" + "\n".join(_row(one) for one in made.attributes))
    if made.expectations:
        parts.append("Expectations:\n\n" + "\n".join(f"- `{one.expect}`" for one in made.expectations))
    if node.task is not None and node.task.source_sql:
        parts.append(f"```sql\n{node.task.source_sql.strip()}\n```")
    return "\n\n".join(parts)


def _row(column: Attribute) -> str:
    cells = (column.name, f"{column.type}{'[]' if column.array else ''}", column.comment or "")
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def tags_of_dag(nodes: Iterable[Node], job: Job) -> tuple[str, ...]:
    """Returns the tags of a DAG: `starlake`, its schemas, those of its configuration, and labels of its nodes.

    Args:
        nodes: The nodes of the DAG.
        job: Job of the DAG, with its configuration.
    """
    tags = [tag for node in nodes for tag in node.tags]
    kept = [tag for tag in tags if tag.partition("=")[0].strip().lower() not in OWN_TAGS and not tag.startswith(TAG)]
    kept = [tag for tag in kept if "spark" not in tag]
    found = ["starlake", *(node.domain for node in nodes), *job.tags, *kept]
    return tuple(dict.fromkeys(tag.strip()[:_LONGEST_TAG] for tag in found if tag.strip()))
