"""DAG configurations of nodes, their variables, and the file names that they define."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from starlake_dagster_assets.automation.policies.options import OptionReader
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import DagConfig, Project

__all__ = ["DagConfigs", "ascii_name"]

_REFUSED = re.compile(r"[^A-Za-z0-9_]+")
_SUFFIX = re.compile(r"\.(?:py|sql)$", re.IGNORECASE)


def ascii_name(text: str) -> str:
    """Returns a name of letters, digits and underscores; accents are dropped.

    Examples:
        >>> ascii_name("dags/été-2.py")
        'dags_ete_2_py'
    """
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return _REFUSED.sub("_", plain).strip("_")


class DagConfigs:
    """The DAG configurations of a project, as its tables and tasks refer to them.

    Args:
        project: The project.
        reader: Reader of the options.
    """

    def __init__(self, project: Project, reader: OptionReader) -> None:
        self._project, self._reader = project, reader
        self._labels = _labels(table.metadata.schedule for table in project.tables)
        self._task_labels = _labels(task.schedule for task in project.tasks)

    def of(self, node: Node) -> DagConfig | None:
        """Returns the DAG configuration that `dagRef` of the node, its domain or default, or the project names."""
        name = node.task.dag_ref if node.task else node.table.metadata.dag_ref if node.table else None
        return self._project.dags.get(name or "")

    def label(self, node: Node) -> str:
        """Returns the schedule of a node as Starlake names it: a preset, `cron1`, `cron2`, … for others, or `None`."""
        if node.task is not None:
            return self._task_labels.get(node.task.schedule or "", "None")
        schedule = node.table.metadata.schedule if node.table else None
        return self._labels.get(schedule or "", "None")

    def variables(self, node: Node) -> Mapping[str, str]:
        """Returns the variables of `filename`, `comment` and options for a node."""
        common = {"schedule": self.label(node), "sl_project_id": "-1"}
        if node.task is not None:
            task = node.task
            return {**common, "domain": task.domain, "table": task.table, "name": task.raw, "task": task.raw}
        table = node.table
        if table is None:
            return common
        finals = {"finalDomain": table.final_domain, "renamedDomain": table.final_domain}
        finals |= {"finalTable": table.final_name, "renamedTable": table.final_name}
        return {**common, **finals, "domain": table.domain_name, "table": table.name}

    def file(self, dag: DagConfig, node: Node) -> str:
        """Returns the name of the DAG file of a node, without its suffix, as a valid name of a job."""
        return ascii_name(self.stem(dag, node)) or ascii_name(dag.name) or "dag"

    def stem(self, dag: DagConfig, node: Node) -> str:
        """Returns the name of the DAG file of a node, without its suffix, unchanged."""
        text = self._reader.rendered(dag, "filename", dag.filename, self.variables(node))
        return _SUFFIX.sub("", text.strip()).replace("_-1", "")

    def comment(self, dag: DagConfig, node: Node) -> str | None:
        """Returns the comment of a DAG configuration, with the variables of a node filled in; None if it is empty."""
        text = self._reader.rendered(dag, "comment", dag.comment or "", self.variables(node))
        return text.strip() or None


def _labels(schedules: Iterable[str | None]) -> dict[str, str]:
    """Returns the name of each schedule: the preset's name, or a number by first appearance for an expression."""
    found: dict[str, str] = {}
    number = 0
    for schedule in schedules:
        text = (schedule or "").strip()
        if not text or text == "None" or text in found:
            continue
        number += " " in text
        found[text] = f"cron{number}" if " " in text else text
    return found
