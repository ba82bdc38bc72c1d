"""DAG files in the shapes that the versions of `starlake dag-generate` write, made from a project's graph."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlake_dagster_assets.graph.model import Graph, Node

OPTIONS = {"sl_env_var": '{"SL_ROOT": "/starbake", "SL_ENV": "DUCKDB"}', "SL_STARLAKE_PATH": "/opt/starlake"}

_OLD_JOBS = {
    "dagster": "from ai.starlake.dagster.shell import StarlakeDagsterShellJob\nsl_job = StarlakeDagsterShellJob(",
    "airflow": "from ai.starlake.airflow.bash import StarlakeAirflowBashJob\nsl_job = StarlakeAirflowBashJob(",
}


def tree(graph: Graph, node: Node, *, old: bool = False) -> dict[str, Any]:
    """A node of the dependency tree, its upstreams below it, as often as they are read."""
    made = node.task or node.table
    task = node.kind == "task"
    data: dict[str, Any] = {"name": node.raw if task else node.id, "typ": node.kind, "parentTyp": "unknown"}
    if task:
        data["sink"] = node.id
    if not old:
        data |= {"cron": (made.cron if made else None) or "None", "freshness": 0, "writeStrategy": {"type": "APPEND"}}
        data |= {} if task else {"sink": "None"}
    ups = [graph.nodes[up] for up in graph.upstream[node.id] if graph.nodes[up].kind != "external"]
    below = [tree(graph, up, old=old) for up in ups]
    return {"data": data, **({"children": below} if below else {}), "task": task}


def trees(graph: Graph, tasks: Iterable[str], *, old: bool = False) -> list[dict[str, Any]]:
    """The trees of the tasks of one file."""
    return [tree(graph, graph.nodes[task], old=old) for task in tasks]


def schedules(graph: Graph, tables: Iterable[str], *, final: bool = True) -> list[dict[str, Any]]:
    """`schedules` of some tables; `final`: as newer templates do, the final name is given twice."""
    found: dict[str | None, dict[str, list[Any]]] = {}
    finals: dict[str, str] = {}
    for name in tables:
        table = graph.nodes[name].table
        assert table is not None
        finals[table.domain] = table.final_domain
        item = {"name": table.final_name if final else table.stem, "final_name": table.final_name}
        found.setdefault(table.cron, {}).setdefault(table.domain, []).append(item)
    return [
        {
            "schedule": f"cron{number}" if cron else "None",
            "cron": cron,
            "domains": [
                {"name": finals[domain] if final else domain, "final_name": finals[domain], "tables": items}
                for domain, items in domains.items()
            ],
        }
        for number, (cron, domains) in enumerate(found.items(), 1)
    ]


def old_load(said: Any, options: Mapping[str, str] = OPTIONS, *, orchestrator: str = "dagster") -> str:
    """A load file of 2024: dictionaries, and the class of the environment."""
    return f"""\
description=\"\"\"load of the domains\"\"\"

options = {dict(options)!r}

{_OLD_JOBS[orchestrator]}options=options)

import os

schedules= {said!r}

crons = []

def generate_job(schedule: dict):
    return JobDefinition(name=schedule['schedule'], graph_def=load_domains(schedule))

defs = Definitions(jobs=[generate_job(schedule) for schedule in schedules], schedules=crons)
"""


def old_transform(
    said: Any, options: Mapping[str, str] = OPTIONS, *, cron: str = "None", orchestrator: str = "dagster"
) -> str:
    """A transform file of 2024: `task_deps`."""
    return f"""\
description=\"\"\"transforms\"\"\"

options = {dict(options)!r}

{_OLD_JOBS[orchestrator]}options=dict(options, **sys.modules[__name__].__dict__.get('jobs', {{}})))

cron = "{cron}"

_cron = None if cron == "None" else cron

task_deps=json.loads(\"\"\"{json.dumps(said, indent=2)}\"\"\")

load_dependencies: bool = sl_job.get_context_var(var_name='load_dependencies', default_value='False') == 'true'
"""


def _new(template: str, options: Mapping[str, str], orchestrator: str, environment: str) -> str:
    kind = "table" if template == "load" else "task"
    return f"""\
from ai.starlake.job import StarlakeOrchestrator
orchestrator = StarlakeOrchestrator.{orchestrator.upper()}

from ai.starlake.job import StarlakeExecutionEnvironment
execution_environment = StarlakeExecutionEnvironment.{environment.upper()}

description=\"\"\"{template} of the project\"\"\"

template="{template}/{orchestrator}__scheduled_{kind}__{environment}.py.j2"

access_control = None

options={dict(options)!r}

import os
import sys

sl_job = StarlakeJobFactory.create_job(
    filename=os.path.basename(__file__),
    orchestrator=orchestrator,
    execution_environment=execution_environment,
    options=dict(options, **sys.modules[__name__].__dict__.get('jobs', {{}}))
)
"""


def new_load(
    said: Sequence[Mapping[str, Any]],
    options: Mapping[str, str] = OPTIONS,
    *,
    orchestrator: str = "dagster",
    environment: str = "shell",
) -> str:
    """A load file of today: constructors."""
    items = ", ".join(
        f"StarlakeSchedule(name={schedule['schedule']!r}, cron={schedule['cron']!r}, domains=["
        + ", ".join(
            f"StarlakeDomain(name={domain['name']!r}, final_name={domain['final_name']!r}, tables=["
            + ", ".join(
                f"StarlakeTable(name={one['name']!r}, final_name={one['final_name']!r})" for one in domain["tables"]
            )
            + "])"
            for domain in schedule["domains"]
        )
        + "])"
        for schedule in said
    )
    return f"""\
{_new("load", options, orchestrator, environment)}
schedules= [{items}]

with OrchestrationFactory.create_orchestration(job=sl_job) as orchestration:
    pipelines = [generate_pipeline(schedule) for schedule in schedules]
"""


def new_transform(
    said: Any,
    options: Mapping[str, str] = OPTIONS,
    *,
    cron: str = "None",
    orchestrator: str = "dagster",
    environment: str = "shell",
) -> str:
    """A transform file of today: `StarlakeDependencies`."""
    return f"""\
{_new("transform", options, orchestrator, environment)}
cron = "{cron}"

dependencies=StarlakeDependencies(dependencies=\"\"\"{json.dumps(said, indent=2)}\"\"\")

with OrchestrationFactory.create_orchestration(job=sl_job) as orchestration:
    with orchestration.sl_create_pipeline(dependencies=dependencies) as pipeline:
        graphs = pipeline.graphs
"""
