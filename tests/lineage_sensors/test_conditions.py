"""The same policy by a sensor and by a condition: both ask for a run at the same moments."""

from __future__ import annotations

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.automation.conditions import automation_conditions, build_condition_sensors, condition_of
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.triggers.evaluate import Fire, Memory, Seen, evaluate, requested, settled
from starlake_dagster_assets.triggers.model import AllOf, AnyOf, Job, Trigger, Triggers, Upstream, Watch
from tests.lineage_sensors.conftest import all_of, any_of

A, B, C = (Upstream(name) for name in "abc")
WATCHES = [
    Watch(AllOf((A, B, C))),
    Watch(AnyOf((A, B, C))),
    Watch(AllOf((A, AnyOf((B, C))))),
    Watch(AnyOf((AllOf((A, B)), C))),
    Watch(AllOf((A, B, C)), optional=frozenset("b"), slower=frozenset("c")),
    Watch(AllOf((A, B)), slower=frozenset("ab")),
    Watch(AnyOf((A, B, C)), present=frozenset("bc")),
]


def definitions(watch: Watch) -> dg.Definitions:
    keys = {name: dg.AssetKey(name) for name in "abc"}

    @dg.asset(deps=list(keys.values()), automation_condition=condition_of(watch, keys))
    def target() -> None: ...

    return dg.Definitions(assets=[*(dg.AssetSpec(key) for key in keys.values()), target])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    watch=st.sampled_from(WATCHES),
    steps=st.lists(st.lists(st.sampled_from("abc"), max_size=3, unique=True), min_size=1, max_size=6),
)
def test_a_condition_and_a_sensor_ask_at_the_same_moments(watch, steps):
    defs = definitions(watch)
    memory, cursor, seen, number = Memory(), None, {}, 0
    with dg.DagsterInstance.ephemeral() as instance:
        target = dg.AssetSelection.assets("target")
        cursor = dg.evaluate_automation_conditions(defs, instance, asset_selection=target).cursor
        for step in steps:
            for name in step:
                number += 1
                instance.report_runless_asset_event(dg.AssetMaterialization(name))
                seen[name] = Seen(number, number)
            result = dg.evaluate_automation_conditions(defs, instance, target, cursor=cursor)
            cursor = result.cursor
            verdict = evaluate("s", watch, dict(seen), memory, number)
            assert (result.total_requested == 1) is isinstance(verdict, Fire), (watch, step)
            if isinstance(verdict, Fire):
                memory = settled(requested(memory, verdict, number))
            # Dagster 1.9 forgets what moves in the very tick after a request: there is a tick in between.
            between = dg.evaluate_automation_conditions(defs, instance, target, cursor=cursor)
            assert between.total_requested == 0
            cursor = between.cursor


def of(*watches: tuple[str, Watch]) -> Triggers:
    return Triggers(
        {node: Trigger(node, "condition", "kpi", watch=watch) for node, watch in watches},
        {"kpi": Job("kpi", tuple(node for node, _ in watches))},
    )


def test_what_cannot_be_said_is_refused_by_name(sales):
    watch = Watch(any_of("sales.a"), data_cycle="0 0 * * *", freshness={"sales.a": 60}, min_interval=30)
    with pytest.raises(ProjectError) as error:
        automation_conditions(sales, of(("kpi.x", watch), ("kpi.y", Watch(any_of("kpi.x")))))
    assert str(error.value) == (
        "kpi.x: data_cycle `0 0 * * *`, a freshness of sales.a, min_timedelta_between_runs of 30 s cannot be said as a "
        "condition; let a lineage sensor make it."
    )


def test_only_nodes_of_conditions_get_one_and_their_domain_a_sensor(sales):
    triggers = of(("kpi.x", Watch(all_of("sales.a", "sales.b"))))
    assert list(automation_conditions(sales, triggers)) == ["kpi.x"]
    (sensor,) = build_condition_sensors(sales, triggers)
    assert sensor.name == "kpi_conditions" and sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert build_condition_sensors(sales, Triggers({}, {})) == []


def test_a_sensor_evaluates_five_hundred_assets_at_most(make):
    source = make.source([make.table("a")], [make.task(f"t{number}") for number in range(501)])
    names = [f"kpi.t{number}" for number in range(501)]
    sensors = build_condition_sensors(source, of(*((name, Watch(any_of("sales.a"))) for name in names)))
    assert [sensor.name for sensor in sensors] == ["kpi_conditions", "kpi_conditions_2"]
