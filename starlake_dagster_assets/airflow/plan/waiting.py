"""Where a load waits for its files, as far as the environment can look there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

from starlake_dagster_assets.airflow.plan.model import EnvironmentName, Waiting
from starlake_dagster_assets.airflow.render.source import jinja
from starlake_dagster_assets.airflow.settings import rooted
from starlake_dagster_assets.automation.file_arrivals.places import DEFAULT_ACK, ack_path, in_codes, is_absolute
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.environments import environment_named
from starlake_dagster_assets.execution.source import ProjectSource
from starlake_dagster_assets.project.model.project import Domain

__all__ = ["waiting_for"]

_URL = re.compile(r"(\w+)://[^/{]+/.")
_PLACE = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})|(%[YymdHMSj](?:[-_/.:T ]?%[YymdHMSj])*)")


def waiting_for(
    loads: Mapping[str, PreLoad], project: ProjectSource, environment: EnvironmentName, prefix: str = ""
) -> dict[tuple[str, PreLoad], Waiting]:
    """What can be waited for, by directory of the domain and what is said of it.

    Where commands run elsewhere, their exit code does not tell missing files from a crash: the store itself is looked
    at, if its files are in one that the provider of the environment knows.

    Args:
        loads: What each table waits for, by node id.
        project: The project.
        environment: Where commands run.
        prefix: Begins the names of Airflow variables.

    Raises:
        StarlakeError: When the path of an ack file names an unknown variable.
    """
    waits: dict[tuple[str, PreLoad], Waiting] = {}
    for node, preload in loads.items():
        table = project.graph.nodes[node].table
        if table is not None and (table.domain, preload) not in waits:
            one = _waiting(preload, project.graph.domains[table.domain], project, prefix)
            url = _URL.match(one.ack or one.directory)
            here = environment_named(environment)
            if here.dialect().local_files or (url and url[1] == here.store):
                waits[table.domain, preload] = one
    return waits


def _waiting(preload: PreLoad, domain: Domain, project: ProjectSource, prefix: str) -> Waiting:
    if preload.strategy == "ack":
        ack_path(preload, project.model, domain, datetime.now(timezone.utc))  # refuses what it cannot read
        return Waiting(preload, ack=_templated(preload.global_ack_file_path or DEFAULT_ACK, domain, project, prefix))
    if preload.strategy == "pending":
        application = project.model.application
        stage = application.areas.stage
        base = preload.pending_path or (stage if is_absolute(stage) else f"{application.datasets.rstrip('/')}/{stage}")
        return Waiting(preload, directory=_below(base, domain, project, prefix))
    if preload.incoming_path:
        return Waiting(preload, directory=_below(preload.incoming_path, domain, project, prefix))
    return Waiting(preload, directory=rooted(domain.incoming or "", project, prefix))


def _below(base: str, domain: Domain, project: ProjectSource, prefix: str) -> str:
    path = base if "{domain}" in base else f"{base.rstrip('/')}/{{domain}}"
    return _templated(path, domain, project, prefix)


def _templated(text: str, domain: Domain, project: ProjectSource, prefix: str) -> str:
    """A path whose dates are those of the run, as clocks of the DAG's time zone show them."""
    known = {"domain": domain.name, "SL_DATASETS": project.model.application.datasets, "SL_ROOT": "{{SL_ROOT}}"}
    parts: list[str] = []
    end = 0
    text = in_codes(text)
    for match in _PLACE.finditer(text):
        parts.append(rooted(text[end : match.start()], project, prefix))
        parts.append(_place(match, known, project, prefix))
        end = match.end()
    return "".join([*parts, rooted(text[end:], project, prefix)])


def _place(match: re.Match[str], known: dict[str, str], project: ProjectSource, prefix: str) -> str:
    if match[2]:
        return "{{ dated('" + match[2] + "') }}"
    name = match[1].strip()
    value = known.get(name, project.model.variables.get(name))
    return rooted(value, project, prefix) if value is not None else jinja(match[0])
