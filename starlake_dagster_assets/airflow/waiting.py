"""Where a load waits for its files, as far as the environment can look there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlake_dagster_assets.airflow.model import EnvironmentName, Waiting
from starlake_dagster_assets.airflow.settings import rooted
from starlake_dagster_assets.airflow.source import jinja
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.project.model import Domain
from starlake_dagster_assets.triggers.model import PreLoad

__all__ = ["waiting_for"]

DEFAULT_ACK = "{SL_DATASETS}/pending/{domain}/{YYYY-MM-DD}.ack"
"""`global_ack_file_path` where none is given, as in starlake-airflow."""

_STORES = {"dataproc": "gs", "cloud_run": "gs", "fargate": "s3"}
_URL = re.compile(r"(\w+)://[^/{]+/.")
_END = "(data_interval_end | default(none, true) or dag_run.run_after)"
_PLACE = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})|(%[A-Za-z](?:[-_/.]?%[A-Za-z])*)|\{\{\s*(ds|sl_date)\s*\}\}")
_DATE = re.compile(r"(?:YYYY|yyyy|MM|DD|dd|HH|hh|mm|ss|[-_/.:T ])+")
_CODES = {
    "YYYY": "%Y",
    "yyyy": "%Y",
    "MM": "%m",
    "DD": "%d",
    "dd": "%d",
    "HH": "%H",
    "hh": "%H",
    "mm": "%M",
    "ss": "%S",
}


def waiting_for(
    loads: Mapping[str, PreLoad], project: ProjectSource, environment: EnvironmentName
) -> dict[tuple[str, PreLoad], Waiting]:
    """What can be waited for, by directory of the domain and what is said of it.

    Where commands run elsewhere, their exit code does not tell missing files from a crash: the store itself is looked
    at, if its files are in one that the provider of the environment knows.

    Args:
        loads: What each table waits for, by node id.
        project: The project.
        environment: Where commands run.
    """
    waits: dict[tuple[str, PreLoad], Waiting] = {}
    for node, preload in loads.items():
        table = project.graph.nodes[node].table
        if table is not None and (table.domain, preload) not in waits:
            one = _waiting(preload, project.graph.domains[table.domain], project)
            url = _URL.match(one.ack or one.directory)
            if environment == "shell" or (url and url[1] == _STORES[environment]):
                waits[table.domain, preload] = one
    return waits


def _waiting(preload: PreLoad, domain: Domain, project: ProjectSource) -> Waiting:
    if preload.strategy == "ack":
        text = preload.global_ack_file_path or DEFAULT_ACK
        return Waiting(preload, ack=_templated(text, domain, project))
    if preload.strategy == "pending":
        application = project.model.application
        stage = application.areas.stage
        base = preload.pending_path or (stage if "://" in stage else f"{application.datasets.rstrip('/')}/{stage}")
        return Waiting(preload, directory=_below(base, domain, project))
    if preload.incoming_path:
        return Waiting(preload, directory=_below(preload.incoming_path, domain, project))
    return Waiting(preload, directory=rooted(domain.incoming or "", project))


def _below(base: str, domain: Domain, project: ProjectSource) -> str:
    path = base if "{domain}" in base else f"{base.rstrip('/')}/{{domain}}"
    return _templated(path, domain, project)


def _templated(text: str, domain: Domain, project: ProjectSource) -> str:
    """A path whose dates are those of the run."""
    known = {"domain": domain.name, "SL_DATASETS": project.model.application.datasets, "SL_ROOT": "{{SL_ROOT}}"}
    parts: list[str] = []
    end = 0
    for match in _PLACE.finditer(text):
        parts.append(rooted(text[end : match.start()], project))
        parts.append(_place(match, known, project))
        end = match.end()
    return "".join([*parts, rooted(text[end:], project)])


def _place(match: re.Match[str], known: dict[str, str], project: ProjectSource) -> str:
    name = (match[1] or "").strip()
    if name in known:
        return rooted(known[name], project)
    if match[3] or match[2] or _DATE.fullmatch(name):
        code = "%Y-%m-%d" if match[3] else match[2] or re.sub("|".join(_CODES), lambda part: _CODES[part[0]], name)
        return "{{ " + _END + ".strftime('" + code + "') }}"
    value = project.model.variables.get(name)
    return rooted(value, project) if value is not None else jinja(match[0])
