"""Edges of the files and edges of Dagster's asset graph are the same, and any name survives or is refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import StarlakeAutomation, StarlakeTranslator, export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.graph.model import Edge
from starlake_dagster_assets.project.model.project import Expectation
from tests.airflow.projects import Source
from tests.airflow.standin import Dag, read
from tests.graph.conftest import project, table, task

PIECES = [
    "a",
    "B",
    "z9",
    "'",
    '"',
    "{{ 7*7 }}",
    "{%",
    "{#",
    "}}",
    "$(touch owned)",
    "`x`",
    "\n",
    "\\",
    "é",
    "🥐",
    ".sh",
    " ",
]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join).filter(str.strip)
ENVIRONMENTS = st.sampled_from(["shell", "cloud_run", "dataproc", "fargate"])
CRONS = st.sampled_from([None, "0 5 * * *", "*/15 6-18 * * 1-5"])
RANDOM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def sources(draw, names=NAMES) -> Source:
    """Tables and tasks, each task reads some of what comes before it; some have expectations."""
    checked = st.lists(st.builds(Expectation, expect=names, fail_on_error=st.booleans()), max_size=2).map(tuple)
    made, ids = [], []
    for _ in range(draw(st.integers(1, 4))):
        domain, name = draw(st.sampled_from(["sales", "crm$", "Été"])), draw(names)
        if f"{domain}.{name}" in ids:
            continue
        made.append(table(domain, name, cron=draw(CRONS), comment=draw(names), expectations=draw(checked)))
        ids.append(f"{domain}.{name}")
    tables = len(ids)
    for _ in range(draw(st.integers(1, 7))):
        domain, name = draw(st.sampled_from(["kpi", "Mart", "sales"])), draw(names)
        if f"{domain}.{name}" in ids:
            continue
        tags = (f"dataset_triggering_strategy={draw(st.sampled_from(['any', 'all']))}",)
        more = {"cron": draw(CRONS), "comment": draw(names), "expectations": draw(checked), "tags": tags}
        made.append(task(domain, name, "select 1 as x", **more))
        ids.append(f"{domain}.{name}")
    edges = [
        Edge(up, down)
        for number, down in enumerate(ids[tables:], tables)
        for up in draw(st.lists(st.sampled_from(ids[:number]), max_size=3, unique=True))
    ]
    return Source(project(*made), edges=tuple(edges))


def exported(source: Source, options: dict) -> tuple[dict[str, Dag], object]:
    """The files as a stand-in for Airflow reads them, and the report."""
    with tempfile.TemporaryDirectory() as directory:
        report = export_airflow(source, directory, **options)
        return {dag.id: read(Path(directory, f"{dag.id}.py")) for dag in report.plan.dags}, report


def edges_of(dags: dict[str, Dag]) -> set[tuple[str, str]]:
    tasks = [one for dag in dags.values() for one in dag.tasks.values()]
    return {(up, down) for one in tasks for down in one.outlets for up in one.inlets}


def wanted(source: Source, report) -> set[tuple[str, str]]:
    """The edges of the assets that Dagster has, by URI."""
    specs = StarlakeTranslator().bound_to(source).specs()
    nodes = {spec.key: node for node, spec in specs.items() if not source.graph.nodes[node].is_files}
    uris = report.plan.uris
    return {
        (uris[nodes[dep.asset_key]], uris[node])
        for node in nodes.values()
        for dep in specs[node].deps
        if dep.asset_key in nodes
    }


@given(
    source=sources(),
    split=st.sampled_from(["domain", "schedule", "component", "table"]),
    environment=ENVIRONMENTS,
    loads=st.none() | ENVIRONMENTS,
    checks=st.sampled_from([None, "warehouse"]),
    strategy=st.sampled_from(["none", "imported", "ack"]),
)
@RANDOM
def test_any_project_keeps_its_edges_and_its_names_or_is_refused_by_name(
    source, split, environment, loads, checks, strategy
):
    options = {
        "split": split,
        "ids": "asset",
        "environment": environment,
        "environments": {"kind:table": loads} if loads else {},
        "options": AirflowOptions(checks=checks),
        "automation": StarlakeAutomation(pre_load=strategy),
    }
    nodes = [node for node in source.graph.nodes.values() if node.kind != "external"]
    try:
        dags, report = exported(source, options)
        edges = wanted(source, report)  # Dagster refuses names that become the same key, `--ids asset` has a hash
    except StarlakeError as error:
        assert any(node.key[-1] in str(error) or repr(node.key[-1])[1:-1] in str(error) for node in nodes), str(error)
        return
    assert edges_of(dags) == edges
    made = [uri for dag in dags.values() for one in dag.tasks.values() for uri in one.outlets if one.id != "finish"]
    assert sorted(made) == sorted(report.plan.uris[node.id] for node in nodes)
    if environment == (loads or "shell") == "shell":
        named = {
            (name, dag.rendered(one.given["env"][name]))
            for dag in dags.values()
            for one in dag.tasks.values()
            if one.operator == "BashOperator"
            for name in ("ARG_NAME", "ARG_TABLES")
            if name in one.given["env"] and one.given["bash_command"] != "stage"
        }
        assert {text for _, text in named} >= {node.raw if node.task else node.table.stem for node in nodes}


@given(source=sources(st.from_regex(r"[a-z]{1,6}", fullmatch=True)), split=st.sampled_from(["domain", "schedule"]))
@RANDOM
def test_what_a_task_reads_of_its_dag_comes_before_it(source, split):
    try:
        dags, _ = exported(source, {"split": split, "options": AirflowOptions(checks="warehouse")})
    except StarlakeError:
        return
    makers = {uri: (dag, one.id) for dag, found in dags.items() for one in found.tasks.values() for uri in one.outlets}
    for name, dag in dags.items():
        for one in dag.tasks.values():
            for uri in one.inlets if one.outlets else ():
                if uri in makers and makers[uri][0] == name:
                    assert makers[uri][1] in _before(dag, one.id)


def _before(dag: Dag, name: str) -> set[str]:
    found, stack = set(), [name]
    while stack:
        more = set(dag.tasks[stack.pop()].upstream) - found
        found |= more
        stack += more
    return found
