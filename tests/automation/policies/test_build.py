"""Who makes each table and task, and what it waits for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import LineageSettings, StarlakeAutomation
from starlake_dagster_assets.automation.definitions.job_assets import untriggered_upstreams
from starlake_dagster_assets.automation.policies.build import build_triggers, filter_triggers
from starlake_dagster_assets.automation.policies.lineage_evaluation import condition_nodes
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Upstream
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically
from starlake_dagster_assets.project.model.project import Attribute, Freshness, Sink, WriteStrategy
from tests.automation.conftest import dag, made, project, table, task, trigger


def owners(source, **automation) -> dict[str, str]:
    return {node: one.triggered_by for node, one in made(source, **automation).triggers.items()}


def everything():
    tables = [table("a", "daily"), table("b"), table("c", dag="files")]
    tasks = [task("x", ["sales.a", "sales.b"]), task("y", ["kpi.x"], "weekly"), task("z")]
    return project(tables, tasks, [dag("files", pre_load_strategy="imported")])


def test_a_project_says_by_itself_what_starts():
    found = {"sales.a": "schedule", "sales.b": "none", "sales.c": "arrival"}
    found |= {"kpi.x": "lineage", "kpi.y": "schedule", "kpi.z": "none"}
    assert owners(everything()) == found


def test_what_starts_can_be_chosen():
    assert owners(everything(), triggering="condition")["kpi.x"] == "condition"
    assert owners(everything(), triggering="none")["kpi.x"] == "none"
    assert owners(everything(), schedules=False)["kpi.y"] == "lineage"
    off = build_triggers(everything(), StarlakeAutomation.off()).triggers
    assert {one.triggered_by for one in off.values()} == {"none"}


def test_a_scheduled_load_may_wait_for_files():
    dags = [dag("files", pre_load_strategy="ACK", ack_wait_timeout="60", pre_load_sensor_soft_fail="false")]
    one = trigger(project([table("a", "daily", dag="files")], dags=dags), "sales.a", start_date="2024-01-01")
    assert (one.triggered_by, one.cron_schedule.cron, one.preload.strategy) == ("schedule", "0 0 * * *", "ack")
    assert (one.preload.ack_wait_timeout, one.preload.soft_fail) == (60, False)
    assert f"{one.cron_schedule.start:%Y-%m-%d}" == "2024-01-01" and not one.cron_schedule.catchup


# ---------------------------------------------------------------------------------------------- what is watched


def two(strategy: str | None = None, **changes):
    options = {} if strategy is None else {"dataset_triggering_strategy": strategy}
    tables = [table("a", "daily"), table("b", "daily"), table("c", "daily")]
    return project(tables, [task("x", ["sales.a", "sales.b"], dag="d", **changes)], [dag("d", **options)])


A, B, C = Upstream("sales.a"), Upstream("sales.b"), Upstream("sales.c")


@pytest.mark.parametrize(
    ("strategy", "condition", "present"),
    [
        (None, AnyOf((A, B)), {"sales.a", "sales.b"}),
        ("ANY", AnyOf((A, B)), {"sales.a", "sales.b"}),
        ("all", AllOf((A, B)), {"sales.a", "sales.b"}),
        ("sales.a & (b | sales/c)", AllOf((A, AnyOf((B, C)))), set()),
    ],
)
def test_strategies(strategy, condition, present):
    watch = trigger(two(strategy), "kpi.x").upstream_condition
    assert (watch.condition, watch.must_exist) == (condition, present)


@pytest.mark.parametrize("reads", [(), ("elsewhere.a",)])
def test_an_expression_may_name_assets_of_other_code_locations_alone(reads):
    dags = [dag("d", dataset_triggering_strategy="sales/orders & py/thing")]
    one = trigger(project([], [task("x", reads, dag="d")], dags), "kpi.x")
    assert one.triggered_by == "lineage" and one.upstream_condition is not None
    assert one.upstream_condition.condition == AllOf((Upstream("sales/orders"), Upstream("py/thing")))


def test_all_that_a_task_reads_is_watched():
    tasks = [task("x", ["sales.a"]), task("y", ["kpi.x", "sales.a", "sales.b"])]
    source = project([table("a"), table("b")], tasks)
    for strategy in ("any", "all"):
        watch = trigger(source, "kpi.y", dataset_triggering_strategy=strategy).upstream_condition
        assert condition_nodes(watch.condition) == ("kpi.x", "sales.a", "sales.b")


def test_a_monthly_table_does_not_hold_a_daily_task_unless_told_to():
    tables = [table("a", "daily"), table("m", "monthly"), table("files")]
    tasks = [task("rare", ["sales.m"]), task("x", ["sales.a", "kpi.rare", "sales.files"])]
    source = project(tables, tasks)
    assert trigger(source, "kpi.x", dataset_triggering_strategy="all").upstream_condition.slower == {"kpi.rare"}
    assert not trigger(source, "kpi.x", optional_dataset_enabled=False).upstream_condition.slower


def test_optional_upstreams_are_watched_and_not_waited_for():
    watch = trigger(two("all", tags=("optional_datasets=b",)), "kpi.x").upstream_condition
    assert (watch.optional, watch.must_exist) == ({"sales.b"}, {"sales.a"})


@pytest.mark.parametrize(
    ("said", "cycle"),
    [
        ({}, None),
        ({"data_cycle": "none", "data_cycle_enabled": True}, None),
        ({"data_cycle": "daily"}, "0 0 * * *"),
        ({"data_cycle": "30 6 * * *"}, "30 6 * * *"),
        ({"data_cycle": "daily", "data_cycle_enabled": False}, None),
        ({"data_cycle_enabled": True}, "0 0 * * *"),
    ],
)
def test_data_cycles(said, cycle):
    assert trigger(two(), "kpi.x", **said).upstream_condition.data_cycle == cycle


def test_a_materialization_counts_as_long_as_it_is_fresh():
    tables = [table("a", freshness=Freshness(warn="1 day", error="2 days")), table("b", freshness=Freshness(warn="1h"))]
    watch = trigger(
        project(tables, [task("x", ["sales.a", "sales.b"])]), "kpi.x", triggering="sensor"
    ).upstream_condition
    assert dict(watch.freshness) == {"sales.a": 172800, "sales.b": 3600}


def test_conditions_have_all_policies_and_what_they_cannot_express_is_an_error_with_its_place():
    more = {"data_cycle": "daily", "min_timedelta_between_runs": 900, "require_fresh_upstreams": True}
    triggers = made(two(), triggering="condition", **more)
    assert triggers.triggers["kpi.x"].triggered_by == "condition" and not triggers.warnings
    with pytest.raises(ProjectError, match=r"y\.sl\.yml.* kpi\.y: run_dependencies_first cannot be expressed.*kpi\.x"):
        made(chain(), triggering="condition")


# -------------------------------------------------------------------------------------------------------- jobs


def jobs(source, **automation) -> dict[str, tuple[str, ...]]:
    return {name: job.nodes for name, job in made(source, **automation).jobs.items()}


def test_without_dag_configuration_there_is_a_job_a_domain_and_trigger():
    assert jobs(everything()) == {
        "load_sales_daily": ("sales.a",),
        "load_sales_manual": ("sales.b",),
        "sales": ("sales.c",),
        "transform_kpi": ("kpi.x",),
        "transform_kpi_manual": ("kpi.z",),
        "transform_kpi_weekly": ("kpi.y",),
    }


@pytest.mark.parametrize(
    ("filename", "names"),
    [
        ("all.py", {"all_daily", "all_weekly"}),
        ("{{domain}}_tables.py", {"sales_tables_daily", "sales_tables_weekly", "hr_tables"}),
        ("{{domain}}_{{schedule}}.py", {"sales_daily", "sales_weekly", "hr_daily"}),
        ("{{renamedDomain}}/load-{{finalTable}}.py", {"sales_load_a", "sales_load_b", "HR_load_P"}),
        ("p_{{sl_project_id}}_{{domain}}.py", {"p_sales_daily", "p_sales_weekly", "p_hr"}),
    ],
)
def test_jobs_have_the_names_of_todays_dags(filename, names):
    hr = table("p", "daily", dag="d", domain="hr", domain_name="hr", final_domain="HR", final_name="P")
    source = project([table("a", "daily", dag="d"), table("b", "weekly", dag="d"), hr], dags=[dag("d", filename)])
    assert set(jobs(source)) == names


def test_crons_that_are_no_presets_are_numbered_in_file_names_and_spelled_elsewhere():
    source = project([table("a", "5 4 * * *", dag="d"), table("b", "5 4 * * *")], dags=[dag("d", "{{schedule}}.py")])
    assert set(jobs(source)) == {"cron1", "load_sales_cron_5_4_x_x_x"}


def test_a_job_says_what_its_dag_configuration_says():
    options = {"tags": "a, b", "retries": "2", "retry_delay": "10", "default_pool": "p", "max_active_runs": "1"}
    dags = [dag("d", comment="Loads {{domain}}", priority_weight="7", **options)]
    (job,) = made(project([table("a", dag="d")], dags=dags)).jobs.values()
    assert (job.name, job.dag, job.description, job.tags) == ("sales", "d", "Loads sales", ("a", "b"))
    assert (job.retries, job.retry_delay, job.pool, job.max_active_runs, job.priority) == (2, 10, "p", 1, 7)


def test_two_dag_configurations_with_one_file_name_are_two_jobs():
    source = project([table("a", dag="one")], [task("x", dag="two", domain="sales")], [dag("one"), dag("two")])
    assert jobs(source) == {"sales": ("sales.a",), "sales_2": ("sales.x",)}


# ---------------------------------------------------------------------------------------- run_dependencies_first


def chain():
    tables = [table("a", "daily"), table("b")]
    return project(
        tables, [task("x", ["sales.a", "sales.b"]), task("y", ["kpi.x"], tags=("run_dependencies_first=true",))]
    )


def test_dependencies_that_run_first_are_in_the_job_and_what_has_its_own_trigger_is_watched():
    triggers = made(chain())
    assert {n: t.triggered_by for n, t in triggers.triggers.items()} == {
        "sales.a": "schedule",
        "sales.b": "none",
        "kpi.x": "none",
        "kpi.y": "lineage",
    }
    assert triggers.jobs["transform_kpi"].nodes == ("sales.b", "kpi.x", "kpi.y")
    assert condition_nodes(triggers.triggers["kpi.y"].upstream_condition.condition) == ("sales.a",)
    assert {triggers.triggers[node].job for node in ("sales.b", "kpi.x", "kpi.y")} == {"transform_kpi"}


def test_a_schedule_runs_what_nobody_else_starts_first():
    tables = [table("a", "daily"), table("b")]
    source = project(tables, [task("x", ["sales.a", "sales.b"]), task("y", ["kpi.x"], "weekly")])
    triggers = made(source, run_dependencies_first=True)
    assert triggers.jobs["transform_kpi_weekly"].nodes == ("sales.b", "kpi.x", "kpi.y")
    assert triggers.triggers["sales.a"].triggered_by == "schedule"


def same_tick(**more):
    tables = [table("a", "daily"), table("b", "hourly"), table("c", "daily", tags=("pre_load_strategy=imported",))]
    tasks = [task("x", ["sales.a", "sales.b", "sales.c"], "daily"), task("y", ["kpi.x"], "daily", **more)]
    return project(tables, tasks)


def test_what_the_same_tick_starts_runs_first_in_the_same_run():
    triggers = made(same_tick(domain="mart"), run_dependencies_first=True)
    assert triggers.jobs.keys() == {"load_sales_hourly", "load_sales_daily", "transform_mart_daily"}
    assert triggers.jobs["transform_mart_daily"].nodes == ("sales.a", "kpi.x", "mart.y")
    assert triggers.triggers["sales.a"].triggered_by == triggers.triggers["kpi.x"].triggered_by == "schedule"
    assert triggers.jobs["load_sales_hourly"].nodes == ("sales.b",), "another tick"
    assert triggers.jobs["load_sales_daily"].nodes == ("sales.c",), "its files may come later"


def test_otherwise_each_has_its_own_run():
    assert made(same_tick()).jobs["transform_kpi_daily"].nodes == ("kpi.x", "kpi.y")


def test_jobs_of_some_nodes():
    triggers = filter_triggers(made(chain()), frozenset({"kpi.x", "kpi.y"}))
    assert set(triggers.triggers) == {"kpi.x", "kpi.y"}
    assert {name: job.nodes for name, job in triggers.jobs.items()} == {"transform_kpi": ("kpi.x", "kpi.y")}


def test_a_circle_is_left_to_people():
    source = project([table("a")], [task("x", ["kpi.y", "sales.a"]), task("y", ["kpi.x"]), task("z", ["sales.a"])])
    assert owners(source) == {"sales.a": "none", "kpi.z": "lineage"}


# -------------------------------------------------------------------------------------------------- any project


@st.composite
def projects(draw):
    schedule = st.sampled_from([None, None, "hourly", "daily", "monthly", "5 4 * * *"])
    ref = st.sampled_from([None, None, "d0", "d1"])
    tables = [table(f"t{n}", draw(schedule), dag=draw(ref)) for n in range(draw(st.integers(1, 4)))]
    known = [one.id for one in tables]
    tasks = []
    for n in range(draw(st.integers(1, 7))):
        reads = draw(st.lists(st.sampled_from(known), unique=True, max_size=3))
        first = draw(st.sampled_from([(), ("run_dependencies_first=true",)]))
        domain = draw(st.sampled_from(["kpi", "sales2"]))
        tasks.append(task(f"x{n}", reads, draw(schedule), dag=draw(ref), tags=first, domain=domain))
        known.append(tasks[-1].id)
    names = st.sampled_from(["all.py", "{{domain}}.py", "{{domain}}_{{schedule}}.py", "{{table}}.py"])
    strategy = st.sampled_from(["any", "all"])
    preload = st.sampled_from(["none", "imported"])
    dags = [
        dag(f"d{n}", draw(names), dataset_triggering_strategy=draw(strategy), pre_load_strategy=draw(preload))
        for n in range(2)
    ]
    return project(tables, tasks, dags)


@settings(max_examples=200, deadline=None)
@given(projects(), st.sampled_from(["sensor", "condition", "none"]))
def test_every_node_has_one_owner_and_one_home_and_jobs_can_run(source, triggering):
    try:
        triggers = build_triggers(source, StarlakeAutomation(lineage=LineageSettings(triggering=triggering)))
    except ProjectError as error:
        assert triggering == "condition" and "run_dependencies_first cannot be expressed" in str(error)
        return
    nodes = {node.id for node in source.graph.nodes.values() if node.kind != "external"}
    assert triggers.triggers.keys() == nodes
    order = {node: place for place, node in enumerate(sort_topologically(source.graph, nodes))}
    for name, job in triggers.jobs.items():
        assert job.name == name and name.isidentifier()
        assert list(job.nodes) == sorted(job.nodes, key=order.__getitem__)
    for node, one in triggers.triggers.items():
        assert node in triggers.jobs[one.job].nodes
        assert (one.cron_schedule is not None) == (one.triggered_by == "schedule")
        assert (one.upstream_condition is not None) == (one.triggered_by in ("lineage", "condition"))
        if one.upstream_condition is not None:
            seen = condition_nodes(one.upstream_condition.condition)
            assert seen and node not in seen and nodes.issuperset(seen)
            # a watched node is never made by the very run that it starts: no run can start itself
            assert not untriggered_upstreams(source, triggers, [node], triggers.jobs[one.job].nodes) & set(seen)
            assert all(order[up] < order[node] for up in seen)
    assert build_triggers(source, StarlakeAutomation(lineage=LineageSettings(triggering=triggering))) == triggers


@settings(max_examples=100, deadline=None)
@given(projects())
def test_what_moves_is_never_forgotten(source):
    """Whatever a task reads, made here and started by something, is watched by it or by what it follows."""
    triggers = build_triggers(source).triggers
    for node, one in triggers.items():
        if one.upstream_condition is None or source.graph.nodes[node].tags:
            continue
        reached: set[str] = set()
        stack = list(condition_nodes(one.upstream_condition.condition))
        while stack:
            up = stack.pop()
            reached.add(up)
            more = triggers[up].upstream_condition
            stack.extend(condition_nodes(more.condition) if more else ())
        reads = {up for up in source.graph.upstream[node] if up in triggers}
        assert reads <= reached


DESCRIBED = Attribute(name="day", type="date")
REPLACED = WriteStrategy(type="OVERWRITE_BY_PARTITION")


@pytest.mark.parametrize(
    ("changes", "partitions", "is_told"),
    [
        ({"attributes": (DESCRIBED,)}, "sink", False),
        ({"tags": ("partition=daily",)}, "sink", False),
        ({}, "none", True),
        ({"attributes": (Attribute(name="day", type="string"),)}, "sink", False),  # another column than one of time
    ],
)
def test_a_sink_whose_column_is_not_described_is_left_unpartitioned_with_a_warning(changes, partitions, is_told):
    one = task("x", write_strategy=REPLACED, sink=Sink(partition=("day",)), **changes)
    triggers = made(project([], [one]), partitions="sink")
    assert triggers.triggers["kpi.x"].partitions == partitions
    told = [text for text in triggers.warnings if "does not describe the column of sink.partition" in text]
    assert bool(told) is is_told and all("kpi.x" in text and "partition=daily" in text for text in told)


@pytest.mark.parametrize("attributes", [(), (Attribute(name="day", type="string"),)])
def test_a_task_that_asks_for_partitions_of_a_column_without_time_is_an_error(attributes):
    one = task("x", write_strategy=REPLACED, sink=Sink(partition=("day",)), tags=("partitions=sink",))
    one = one.model_copy(update={"attributes": attributes})
    with pytest.raises(ProjectError, match=r"kpi\.x cannot be partitioned: the project does not describe the column"):
        made(project([], [one]))
