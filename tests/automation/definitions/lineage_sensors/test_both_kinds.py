"""The same scenarios by lineage sensors and by conditions: what is asked for, how often, and after what."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Job, Triggers, Upstream, UpstreamCondition
from starlake_dagster_assets.project.model.project import WriteStrategy
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from tests.automation.definitions.lineage_sensors.conftest import World, all_of, any_of, watching
from tests.dagster_assets.conftest import make_source, make_table, make_task

pytestmark = pytest.mark.parametrize("kind", ["lineage", "condition"])

ABC = ("sales.a", "sales.b", "sales.c")
ANY = UpstreamCondition(any_of(*ABC))
ALL = UpstreamCondition(all_of(*ABC))
PATIENT = UpstreamCondition(all_of(*ABC), optional=frozenset({"sales.b"}), slower=frozenset({"sales.c"}))
CHAIN = {
    "one": (["kpi.x"], ANY),
    "two": (["kpi.y"], UpstreamCondition(any_of("kpi.x", "sales.c"))),
    "three": (["kpi.z"], UpstreamCondition(any_of("kpi.y", "kpi.x"))),
}


@pytest.mark.parametrize(
    ("watch", "steps", "asked"),
    [
        (ALL, ["a", "c", "b", "a", "b"], "00100"),
        (
            UpstreamCondition(AllOf((Upstream("sales.a"), any_of("sales.b", "sales.c")))),
            ["b", "c", "a", "a", "c"],
            "00101",
        ),
        (
            UpstreamCondition(AnyOf((all_of("sales.a", "sales.b"), Upstream("sales.c")))),
            ["a", "c", "b", "a", "b"],
            "01010",
        ),
        (
            UpstreamCondition(all_of(*ABC), optional=frozenset({"sales.b"}), slower=frozenset({"sales.c"})),
            ["b", "a", "c", "a"],
            "0101",
        ),
        (UpstreamCondition(any_of(*ABC), must_exist=frozenset({"sales.a", "sales.b"})), ["a", "c", "b", "c"], "0011"),
        (UpstreamCondition(all_of("sales.a", "sales.b"), data_cycle="0 0 * * *"), ["a", "b", "b", "a"], "0101"),
        (UpstreamCondition(any_of("sales.a"), min_interval=3600), ["a", "a", "a"], "100"),
        (UpstreamCondition(any_of("sales.a"), freshness={"sales.a": 0.0}, require_fresh_upstreams=True), ["a"], "0"),
    ],
    ids=["all", "and-or", "or-and", "patient", "present", "cycle", "interval", "gate"],
)
def test_policies(world, kind, watch, steps, asked):
    it: World = world(watching({"kpi": (["kpi.x"], watch)}, kind))
    found = ""
    for name in steps:
        it.made(f"sales.{name}")
        found += str(len(it.daemon()))
    assert found == asked


@pytest.mark.dagster_feature("Automation conditions on tasks")
def test_a_chain_over_jobs_is_made_once_per_delivery(world, kind):
    it: World = world(watching(CHAIN, kind))
    for delivery in (1, 2):
        it.made(*ABC)
        it.quiet()
        assert [it.count(key) for key in ("kpi.x", "kpi.y", "kpi.z")] == [delivery] * 3


def test_a_chain_of_one_job_is_one_run(world, kind):
    triggers = {node: replace(one, job="kpi") for node, one in watching(CHAIN, kind).triggers.items()}
    it: World = world(Triggers(triggers, {"kpi": Job("kpi", tuple(triggers))}))
    it.made(*ABC)
    assert it.daemon() == [{"kpi/x", "kpi/y", "kpi/z"}]
    assert it.daemon() == [] and it.count("kpi.z") == 1


def test_all_that_is_due_of_a_job_is_one_run(world, kind):
    triggers = watching({"kpi": (["kpi.x", "kpi.y"], ANY)}, kind)
    it: World = world(triggers)
    it.made("sales.a")
    assert it.daemon() == [{"kpi/x", "kpi/y"}]


@pytest.mark.dagster_feature("Manual materializations and sensors of tasks")
def test_what_a_person_materializes_is_not_made_again(world, kind):
    it: World = world(watching(CHAIN, kind))
    assert it.by_hand("sales.a", "sales.b", "sales.c", "kpi.x", "kpi.y", "kpi.z").success
    assert it.requests() == []
    it.made("sales.a")
    it.by_hand("kpi.x")
    (asked,) = it.daemon()
    assert "kpi/y" in asked and "kpi/x" not in asked, "the next one follows; kpi.x has read it"


@pytest.mark.dagster_feature("Manual materializations and sensors of tasks")
def test_a_task_whose_asset_was_wiped_is_run_again(world, kind):
    it: World = world(watching({"kpi": (["kpi.x"], ANY)}, kind))
    it.made("sales.a")
    assert it.quiet() == 1
    for _ in range(2):
        it.instance.wipe_assets([dg.AssetKey(["kpi", "x"])])
        assert it.quiet() == 1


@pytest.mark.dagster_feature("Cursors of sensors of tasks")
def test_a_new_sensor_remembers_as_much_as_the_old_one(world, kind):
    it: World = world(watching({"kpi": (["kpi.x"], ANY)}, kind))
    it.made("sales.a")
    it.daemon()
    again: World = world(watching({"renamed": (["kpi.x"], ANY), "added": (["kpi.y"], ANY)}, kind))
    assert again.daemon() == [{"kpi/y"}]


BROKEN = Script(["26/01/01 ERROR Main: broken"], exit_code=1)


@pytest.mark.dagster_feature("Failed steps and tasks that Dagster skips")
@pytest.mark.parametrize("broken", ["kpi.x", "kpi.x and mart.v"])
def test_a_task_whose_step_is_skipped_is_run_without_the_one_that_failed(world, kind, broken):
    """`mart.v` and `mart.w` are one step; only `mart.w` reads `kpi.x`."""
    source = make_source(
        [make_table("a")],
        [make_task("x", ["sales.a"]), make_task("v", ["sales.a"], "mart"), make_task("w", ["kpi.x"], "mart")],
    )
    watch = UpstreamCondition(any_of("sales.a"))
    jobs = {"all": (["kpi.x", "mart.v", "mart.w"], watch)}
    found = watching(jobs, kind)
    reads = replace(found.triggers["mart.w"], upstream_condition=UpstreamCondition(any_of("kpi.x")))
    scripts = {f"transform --name {name}": BROKEN for name in broken.split(" and ")}
    triggers = replace(found, triggers={**found.triggers, "mart.w": reads})
    it: World = world(triggers, source, runner=FakeRunner(scripts), split="group")
    it.made("sales.a")
    it.quiet()
    assert [it.count(node) for node in ("kpi.x", "mart.v", "mart.w")] == [0, broken == "kpi.x", 0]
    assert len(it.asked) == 2, "what was not begun is run once more, what failed is not"
    if kind == "lineage":
        assert "failed after the update of sales.a. It is not started again" in it.reason
    scripts.clear()
    it.by_hand("kpi.x")
    it.quiet()
    assert it.count("mart.w") == 1


def test_a_failed_run_is_not_repeated_and_a_newer_update_is_used(world, kind):
    scripts = {"transform --name kpi.x": Script(["26/01/01 ERROR Main: broken"], exit_code=1)}
    it: World = world(watching({"kpi": (["kpi.x"], ALL)}, kind), runner=FakeRunner(scripts))
    it.made(*ABC)
    it.daemon()
    assert len(it.asked) == 1 and it.count("kpi.x") == 0
    assert it.requests() == []
    if kind == "lineage":
        run = it.instance.get_runs()[0].run_id
        assert f"Run {run} of kpi.x failed after the update of sales.a, sales.b and sales.c" in it.reason
    scripts.clear()
    it.made("sales.b")
    it.daemon()
    assert it.count("kpi.x") == 1 and it.requests() == []


def test_a_run_that_will_make_more_is_waited_for(world, kind):
    it: World = world(watching({"kpi": (["kpi.x"], ANY)}, kind))
    run = it.in_progress("sales.a", "sales.b")
    it.in_run(run, "sales.a")
    assert it.requests() == []
    assert kind == "condition" or f"waits for sales.b: run {run} (started since" in it.reason
    it.in_run(run, "sales.b")
    assert it.daemon() == [{"kpi/x"}]


@pytest.mark.parametrize("end", ["PIPELINE_SUCCESS", "PIPELINE_FAILURE", "PIPELINE_CANCELED"])
def test_an_update_during_a_run_is_used_by_the_next_one(world, kind, end):
    it: World = world(watching({"kpi": (["kpi.x"], ANY)}, kind))
    it.made("sales.a")
    run = it.in_progress("kpi.x")
    it.made("sales.b")
    assert it.requests() == [], "one run at a time"
    it.ends(run, end)
    assert it.daemon() == [{"kpi/x"}]
    assert it.daemon() == []


def test_a_diamond_is_made_once(world, kind, make):
    source = make.source(
        [make.table("a")],
        [make.task("x", ["sales.a"]), make.task("y", ["sales.a"]), make.task("z", ["kpi.x", "kpi.y"])],
    )
    jobs = {name: ([f"kpi.{name}"], UpstreamCondition(any_of("sales.a"))) for name in "xy"}
    it: World = world(watching({**jobs, "z": (["kpi.z"], UpstreamCondition(any_of("kpi.x", "kpi.y")))}, kind), source)
    for delivery in (1, 2, 3):
        it.made("sales.a")
        it.by_hand("kpi.x")
        it.quiet()
        assert it.count("kpi.z") == delivery


def test_observations_are_not_materializations(world, kind):
    it: World = world(watching({"kpi": (["kpi.x"], ANY)}, kind))
    it.instance.report_runless_asset_event(dg.AssetObservation(dg.AssetKey(["sales", "a"])))
    assert it.requests() == []


# ---------------------------------------------------------------------------------------------------------- partitions


class Daily(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")


class DailyTasks(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04") if node.task else None


@pytest.fixture
def two(make):
    return make.source([make.table("a"), make.table("b")], [make.task("x", ["sales.a", "sales.b"])])


def follows(kind, *ups, join=any_of, **more) -> Triggers:
    return watching({"kpi": (["kpi.x"], UpstreamCondition(join(*ups), **more))}, kind)


def runner() -> FakeRunner:
    return FakeRunner({"load": Script([line for name in "ab" for line in loaded_lines("sales", name)])})


def partitions(it: World) -> list[str]:
    """The partitions that are asked for; those of a range by its ends."""
    found = []
    for _, request in it.requests():
        ends = [request.tags.get(f"dagster/asset_partition_range_{side}") for side in ("start", "end")]
        found.append(request.partition_key or "...".join(filter(None, ends)))
    return found


def test_partitions_wait_for_their_own_upstreams(world, kind, two):
    it: World = world(
        watching({"kpi": (["kpi.x"], UpstreamCondition(all_of("sales.a", "sales.b")))}, kind),
        two,
        translator=Daily(),
        runner=runner(),
    )
    it.made("sales.a", partition="2024-01-02")
    it.made("sales.b", partition="2024-01-03")
    assert it.requests() == []
    it.made("sales.b", partition="2024-01-02")
    it.daemon()
    it.made("sales.a", partition="2024-01-03")
    assert partitions(it) == ["2024-01-03"]
    it.daemon()
    assert it.requests() == [] and it.count("kpi.x") == 2


def test_a_partition_that_is_updated_during_its_run_is_made_again(world, kind, two):
    it: World = world(follows(kind, "sales.a"), two, translator=Daily())
    it.made("sales.a", partition="2024-01-02")
    run = it.in_progress("kpi.x", partition="2024-01-02")
    it.made("sales.a", partition="2024-01-02")
    assert it.requests() == []
    it.in_run(run, "kpi.x", "2024-01-02", read={"sales/a": 1})
    it.ends(run)
    assert partitions(it) == ["2024-01-02"]


def test_a_partition_waits_for_a_run_of_its_other_upstream_only(world, kind, two):
    it: World = world(
        watching({"kpi": (["kpi.x"], UpstreamCondition(any_of("sales.a", "sales.b")))}, kind), two, translator=Daily()
    )
    it.by_hand("kpi.x", partition="2024-01-01")
    run = it.in_progress("sales.b", partition="2024-01-02")
    it.made("sales.a", partition="2024-01-02")
    it.made("sales.a", partition="2024-01-04")
    assert partitions(it) == ["2024-01-04"]
    it.in_run(run, "sales.b", "2024-01-02")
    assert partitions(it) == ["2024-01-02", "2024-01-04"]


@pytest.mark.dagster_feature("Backfills and ranges of partitions")
def test_of_a_history_the_newest_partition_is_asked_for(world, kind, two):
    it: World = world(
        watching({"kpi": (["kpi.x"], UpstreamCondition(any_of("sales.a")))}, kind),
        two,
        translator=Daily(),
        runner=runner(),
    )
    for day in range(1, 9):
        it.made("sales.a", partition=f"2024-01-0{day}")
    assert partitions(it) == ["2024-01-08"]
    it.daemon()
    assert it.requests() == []
    assert (
        kind == "condition" or "7 older partitions were never materialized, from 2024-01-01 to 2024-01-07" in it.reason
    )
    it.made("sales.a", partition="2024-01-03")
    it.made("sales.a", partition="2024-01-08")
    assert partitions(it) == ["2024-01-03", "2024-01-08"]


@pytest.mark.dagster_feature("Backfills and ranges of partitions")
def test_all_of_a_history_by_option(world, kind, two):
    triggers = follows(kind, "sales.a", all_history=True)
    it: World = world(triggers, two, translator=Daily(), runner=runner())
    for day in (1, 2, 3, 5):
        it.made("sales.a", partition=f"2024-01-0{day}")
    if kind == "lineage":
        assert partitions(it) == ["2024-01-01...2024-01-03", "2024-01-05"], "Dagster makes ranges of conditions itself"
    it.daemon()
    assert it.requests() == [] and it.count("kpi.x") == 4


WEEKLY = dg.WeeklyPartitionsDefinition("2024-01-01", end_date="2024-02-05", day_offset=1)


class Weeks(StarlakeTranslator):
    """`mart.w` has weekly partitions, everything else has daily ones: the key 2024-01-08 is one of both."""

    def get_partitions_def(self, node):
        return WEEKLY if node.id == "mart.w" else dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-05")


def by_partition(name: str, *reads: str, domain: str = "kpi"):
    return make_task(name, reads, domain, write_strategy=WriteStrategy(type="OVERWRITE_BY_PARTITION"))


def test_a_week_waits_for_its_days_also_where_their_keys_are_the_same(world, kind):
    source = make_source([make_table("a")], [by_partition("x", "sales.a"), by_partition("w", "kpi.x", domain="mart")])
    reads = {"kpi": ("kpi.x", "sales.a"), "mart": ("mart.w", "kpi.x")}
    jobs = {job: ([node], UpstreamCondition(any_of(up))) for job, (node, up) in reads.items()}
    it: World = world(watching(jobs, kind), source, translator=Weeks())
    for _ in range(2):
        it.made("sales.a", partition="2024-01-08")
        assert [it.daemon(), it.daemon(), it.daemon()] == [[{"kpi/x"}], [{"mart/w"}], []]
    it.made("sales.a", partition="2024-01-10")
    it.quiet()
    assert [request.partition_key for _, request in it.asked][-2:] == ["2024-01-10", "2024-01-08"]


@pytest.mark.dagster_feature("Failed steps and tasks that Dagster skips")
def test_a_week_that_was_not_begun_is_run_once_all_days_that_failed_are_materialized(world, kind):
    """A run by hand of a week and three of its days fails; `mart.w` watches `sales.b` only, and reads `kpi.x` too."""
    tables = [make_table("a"), make_table("b")]
    source = make_source(tables, [by_partition("x", "sales.a"), by_partition("w", "kpi.x", "sales.b", domain="mart")])
    watch = UpstreamCondition(any_of("sales.b"), all_history=True)
    it: World = world(watching({"mart": (["mart.w"], watch)}, kind), source, translator=Weeks())
    it.made("sales.b", partition="2024-01-09")
    run = it.in_progress("kpi.x", "mart.w", partition="2024-01-08")
    for day in (9, 10):
        it.plans(run, "kpi.x", f"2024-01-{day:02}")
    it.ends(run, "PIPELINE_FAILURE")
    for day in (8, 9, 10):
        assert it.quiet() == 0, "a day that failed is missing"
        it.made("kpi.x", partition=f"2024-01-{day:02}")
    it.quiet()
    assert [request.partition_key for _, request in it.asked] == ["2024-01-08"]
    assert it.count("mart.w") == 1


def test_an_upstream_without_partitions_moves_the_newest_one(world, kind, two):
    it: World = world(follows(kind, "sales.a"), two, translator=DailyTasks())
    it.made("sales.a")
    assert partitions(it) == ["2024-01-03"]
    it.daemon()
    assert it.requests() == []
    it.made("sales.a")
    assert partitions(it) == ["2024-01-03"]
