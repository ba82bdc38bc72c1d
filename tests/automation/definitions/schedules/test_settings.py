"""Freshness, retries, pools, priorities and limits: what a project says of them, as Dagster has it."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeDuckDB,
    StarlakeMetadata,
    StarlakeShell,
    StarlakeSteps,
    StarlakeTranslator,
    build_definitions,
)
from starlake_dagster_assets._compat import TimeWindow, has_freshness_policies, suppress_dagster_warnings
from starlake_dagster_assets.automation.definitions.run_queue_tags import job_tags
from starlake_dagster_assets.automation.policies.build import filter_triggers
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job
from starlake_dagster_assets.dagster_assets.specs.freshness import NEVER
from starlake_dagster_assets.dagster_assets.specs.retries import retry_policy
from starlake_dagster_assets.project.model.project import Freshness, Metadata
from starlake_dagster_assets.project.resolve.durations import duration
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake
from tests.automation.definitions.schedules.conftest import merged, scheduled

DAILY = CronSchedule("0 5 * * *")
DAYS = timedelta(days=1)


def steps(defs: dg.Definitions) -> list[dg.AssetsDefinition]:
    return [asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)]


# ------------------------------------------------------------------------------------------------ freshness


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3 days", 3 * DAYS),
        ("2h", timedelta(hours=2)),
        (" 30 Minutes ", timedelta(minutes=30)),
        ("90 seconds", None),
        ("0 days", None),
        ("soon", None),
        ("", None),
    ],
)
def test_durations_in_words(text, found):
    assert duration(text) == found


@pytest.mark.parametrize(
    ("warn", "error", "fail_window", "warn_window"),
    [
        ("1 day", "3 days", 3 * DAYS, DAYS),
        (None, "3 days", 3 * DAYS, None),
        ("1 day", None, NEVER, DAYS),
        ("3 days", "1 day", DAYS, None),
    ],
)
def test_warn_and_error_are_the_windows_of_a_policy(make, warn, error, fail_window, warn_window):
    fresh = Freshness(warn=warn, error=error)
    source = make.source(
        [make.table("orders", metadata=Metadata(freshness=fresh)), make.table("plain")],
        [make.task("kpi", ["sales.orders"], freshness=fresh)],
    )
    bound = StarlakeTranslator().bound_to(source)
    policies = {node: bound.get_freshness_policy(source.graph.nodes[node]) for node in source.graph.nodes}
    assert policies["sales.plain"] is None
    for node in ("sales.orders", "kpi.kpi"):
        policy = policies[node]
        if isinstance(policy, TimeWindow):
            assert (policy.fail_window, policy.warn_window) == (fail_window, warn_window)
            continue
        assert bound.specs()[node].freshness_policy == policy
        assert policy.fail_window.to_timedelta() == fail_window
        assert (policy.warn_window.to_timedelta() if policy.warn_window else None) == warn_window


def test_freshness_is_on_the_assets_or_in_checks_with_their_sensor(make, instance):
    source = make.source(
        [
            make.table("orders", metadata=Metadata(freshness=Freshness(warn="1 day", error="3 days"))),
            make.table("customers", metadata=Metadata(freshness=Freshness(warn="1 day"))),
        ]
    )
    with suppress_dagster_warnings():
        defs = build_definitions(source, starlake=fake_starlake())
    repository = defs.get_repository_def()
    sensors = [sensor.name for sensor in repository.sensor_defs]
    if has_freshness_policies():
        assert "starlake_freshness_checks" not in sensors and not defs.asset_checks
        return
    assert sensors.count("starlake_freshness_checks") == 1
    with suppress_dagster_warnings():
        job = dg.define_asset_job("fresh", selection=dg.AssetSelection.checks(*(defs.asset_checks or ())))
        known = dg.Definitions(assets=defs.assets, asset_checks=defs.asset_checks, resources=defs.resources, jobs=[job])
    found = known.get_repository_def().get_job("fresh").execute_in_process(instance=instance)
    never_made = {
        check.asset_key.path[-1]: (check.passed, check.severity) for check in found.get_asset_check_evaluations()
    }
    assert never_made == {
        "orders": (False, dg.AssetCheckSeverity.ERROR),
        "customers": (False, dg.AssetCheckSeverity.WARN),
    }


def test_a_users_own_freshness_wins(make):
    class Mine(StarlakeTranslator):
        def get_freshness_policy(self, node):
            return None

    source = make.source([make.table("orders", metadata=Metadata(freshness=Freshness(error="3 days")))])
    defs = build_definitions(source, starlake=fake_starlake(), translator=Mine())
    assert not defs.asset_checks
    (spec,) = [spec for spec in steps(defs)[0].specs if spec.key.path[-1] == "orders"]
    assert getattr(spec, "freshness_policy", None) is None


# -------------------------------------------------------------------------------------------------- retries


def unlucky(times: int, *tasks: str):
    """The tasks fail so many times each."""
    left = dict.fromkeys(tasks, times)

    def script(command):
        name = command.args[1] if command.name == "transform" else ""
        if left.get(name, 0) == 0:
            return None
        left[name] -= 1
        return Script(["ERROR Main: out of luck"], 1)

    return FakeRunner(script)


def materialize(source, triggers, runner, instance, *tasks, **settings):
    starlake = fake_starlake(runner)
    defs = build_definitions(
        source,
        starlake=starlake,
        automation=triggers,
        metadata=StarlakeMetadata(row_counts=False, columns=False),
        **settings,
    )
    return dg.materialize(
        steps(defs),
        selection=[dg.AssetKey(task.split(".")) for task in tasks],
        resources=defs.resources,
        instance=instance,
        raise_on_error=False,
    )


def retries_of(result) -> list[float | None]:
    return [e.step_retry_data.seconds_to_wait for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]


def test_a_step_is_retried_as_what_failed_in_it_says(sales, instance):
    """One step, two DAG configurations: `revenue` has two retries, `people` none."""
    triggers = merged(
        scheduled({"a": (["kpi.revenue"], DAILY)}, retries=2, retry_delay=0),
        scheduled({"b": (["kpi.people"], DAILY)}),
    )
    runner = unlucky(2, "kpi.revenue")
    result = materialize(sales, triggers, runner, instance, "kpi.revenue", "kpi.people")
    assert result.success and len(retries_of(result)) == 2
    assert [c.args[1] for c in runner.commands] == ["kpi.people", "kpi.revenue", "kpi.revenue", "kpi.revenue"]
    again = materialize(sales, triggers, unlucky(1, "kpi.people"), instance, "kpi.people")
    assert not again.success and retries_of(again) == []


def test_the_last_failure_says_what_failed(sales, instance):
    triggers = scheduled({"a": (["kpi.revenue"], DAILY)}, retries=1, retry_delay=0)
    result = materialize(sales, triggers, unlucky(9, "kpi.revenue"), instance, "kpi.revenue")
    assert not result.success and len(retries_of(result)) == 1
    (failure,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "out of luck" in failure.step_failure_data.user_failure_data.metadata["kpi.revenue"].value


def test_a_policy_of_the_step_wins(sales, instance):
    triggers = scheduled({"a": (["kpi.revenue"], DAILY)}, retries=5, retry_delay=0)
    policy = StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1))
    result = materialize(sales, triggers, unlucky(9, "kpi.revenue"), instance, "kpi.revenue", steps=policy)
    assert not result.success and len(retries_of(result)) == 1


def test_the_delay_doubles_and_varies():
    policy = retry_policy(3, 10)
    assert policy is not None
    waits = [[policy.calculate_delay(attempt) for _ in range(50)] for attempt in (1, 2, 3)]
    for wait, expected in zip(waits, (10, 30, 70), strict=True):
        assert all(expected - 10 <= one <= expected + 10 for one in wait) and len(set(wait)) > 1
    assert retry_policy(0, 10) is None and retry_policy(None, None) is None
    assert retry_policy(1, None) == dg.RetryPolicy(
        max_retries=1, delay=300, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )


# ---------------------------------------------------------------------------------- pools, priorities, limits


def test_one_pool_for_each_duckdb_file_unless_a_pool_is_said(sales):
    assert StarlakeDuckDB().pool(sales) == StarlakeShell().pool(sales) == "starlake_duckdb_x_db"
    assert StarlakeDuckDB(database="/mnt/our data.db").pool(sales) == "starlake_duckdb_our_data_db"
    everything = build_definitions(sales, starlake=StarlakeDuckDB())
    assert {step.op.pool for step in steps(everything)} == {"starlake_duckdb_x_db"}
    own = build_definitions(sales, starlake=StarlakeDuckDB(), steps=StarlakeSteps(pool="mine"))
    assert {step.op.pool for step in steps(own)} == {"mine"}


def test_no_pool_without_a_duckdb_file(make):
    from starlake_dagster_assets.project.model.project import Connection

    postgres = Connection(name="duck", type="jdbc", options={"url": "jdbc:postgresql://db/x"})
    source = make.source([make.table("orders")], connections={"duck": postgres})
    assert StarlakeShell().pool(source) is None


def test_default_pool_cuts_steps_only_where_pools_differ(sales):
    triggers = merged(
        scheduled({"load": (["sales.orders", "sales.customers"], DAILY)}, pool="loads"),
        scheduled({"kpi": (["kpi.revenue", "kpi.people", "kpi.summary"], DAILY)}),
    )
    defs = build_definitions(sales, starlake=StarlakeDuckDB(), automation=triggers)
    assert [(step.op.pool, len(list(step.keys))) for step in steps(defs)] == [("loads", 2), ("starlake_duckdb_x_db", 3)]


def test_tags_of_a_job():
    job = Job("kpi", (), tags=("nightly", "team=données"), priority=7, max_active_runs=2)
    assert job_tags(job) == {
        "nightly": "",
        "team": "donnees",
        "dagster/priority": "7",
        "starlake/max_active_runs_2": "kpi",
    }


def test_the_instance_of_the_example_limits_pools_and_runs(tmp_path):
    """The settings that the docs say to copy are such as this Dagster takes."""
    config = Path(__file__).resolve().parents[4] / "example_project" / "dagster.yaml"
    (tmp_path / "dagster.yaml").write_text(config.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        limits = instance.get_concurrency_config()
        assert limits.pool_config.default_pool_limit == 1
        assert {"key": "starlake/max_active_runs_1", "value": {"applyLimitPerUniqueValue": True}, "limit": 1} in (
            limits.run_queue_config.tag_concurrency_limits
        )


def test_a_translator_that_knew_other_triggers_says_what_the_given_ones_say(sales):
    nodes = ["kpi.revenue"]
    first = StarlakeTranslator().bound_to(sales, scheduled({"kpi": (nodes, DAILY)}))
    node = sales.graph.nodes["kpi.revenue"]
    assert first.spec(node).partitions_def is None and first.get_retry_policy(node) is None
    given = scheduled({"kpi": (nodes, DAILY)}, "cron", retries=3)
    second = first.bound_to(sales, given)
    assert second.spec(node).partitions_def is not None and second.get_retry_policy(node).max_retries == 3
    assert second.bound_to(sales) is second.bound_to(sales, given) is second
    assert second.bound_to(sales, filter_triggers(given, frozenset())) is second, "some of its own"
