"""Files that loads wait for, if the environment can list them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from starlake_dagster_assets.airflow.dag_options import Templates
from starlake_dagster_assets.airflow.plan.model import EnvironmentName, FileWait
from starlake_dagster_assets.airflow.render.source import jinja
from starlake_dagster_assets.automation.file_arrivals.paths import DEFAULT_ACK, ack_path, to_strftime
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.execution.file_store import is_absolute
from starlake_dagster_assets.project.model.project import Domain

__all__ = ["waiting_for"]

_URL = re.compile(r"(\w+)://[^/{]+/.")
_PLACE = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})|(%[YymdHMSj](?:[-_/.:T ]?%[YymdHMSj])*)")


def waiting_for(
    loads: Mapping[str, PreLoad], templates_of: Callable[[str], Templates], environment: EnvironmentName
) -> dict[tuple[str, PreLoad], FileWait]:
    """Returns the files that a sensor can wait for, by directory of the domain and pre-load settings.

    If commands run elsewhere, their exit code is the same for missing files and a crash: the store itself is
    listed, if its files are in one that the provider of the environment knows.

    Args:
        loads: Pre-load settings of tables, by node id.
        templates_of: Function that returns the templates for the settings of a node, by node id.
        environment: Environment of the commands.

    Raises:
        StarlakeError: When the path of an ack file names an unknown variable.
    """
    waits: dict[tuple[str, PreLoad], FileWait] = {}
    for node, preload in loads.items():
        templates = templates_of(node)
        graph = templates.project.graph
        table = graph.nodes[node].table
        if table is not None and (table.domain, preload) not in waits:
            one = _Paths(templates, graph.domains[table.domain]).waiting(preload)
            url = _URL.match(one.ack or one.directory)
            here = get_environment(environment)
            if here.operator_renderer().local_files or (url and url[1] == here.store):
                waits[table.domain, preload] = one
    return waits


@dataclass(frozen=True)
class _Paths:
    """Paths of a domain, as templates."""

    templates: Templates
    domain: Domain

    def waiting(self, preload: PreLoad) -> FileWait:
        """Returns the files that a strategy waits for."""
        model = self.templates.project.model
        if preload.strategy == "ack":
            ack_path(preload, model, self.domain, datetime.now(timezone.utc))  # refuses what it cannot read
            return FileWait(preload, ack=self._templated(preload.global_ack_file_path or DEFAULT_ACK))
        if preload.strategy == "pending":
            stage, datasets = model.application.areas.stage, model.application.datasets.rstrip("/")
            base = preload.pending_path or (stage if is_absolute(stage) else f"{datasets}/{stage}")
            return FileWait(preload, directory=self._below(base))
        if preload.incoming_path:
            return FileWait(preload, directory=self._below(preload.incoming_path))
        return FileWait(preload, directory=self.templates.rooted(self.domain.incoming or ""))

    def _below(self, base: str) -> str:
        return self._templated(base if "{domain}" in base else f"{base.rstrip('/')}/{{domain}}")

    def _templated(self, text: str) -> str:
        """Returns a path as a template, with the dates of the run in the time zone of the DAG."""
        parts: list[str] = []
        end = 0
        text = to_strftime(text)
        for match in _PLACE.finditer(text):
            parts.append(self.templates.rooted(text[end : match.start()]))
            parts.append(self._directory(match))
            end = match.end()
        return "".join([*parts, self.templates.rooted(text[end:])])

    def _directory(self, match: re.Match[str]) -> str:
        if match[2]:
            return "{{ dated('" + match[2] + "') }}"
        name, model = match[1].strip(), self.templates.project.model
        datasets = model.application.datasets
        known = {"domain": self.domain.name, "SL_DATASETS": datasets, "SL_ROOT": "{{SL_ROOT}}"}
        value = known.get(name, model.variables.get(name))
        return self.templates.rooted(value) if value is not None else jinja(match[0])
