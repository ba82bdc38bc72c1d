"""What is said, where, and what is not understood."""

from __future__ import annotations

import re

import pytest

from starlake_dagster_assets import StarlakeAutomation, resources
from starlake_dagster_assets.automation.policies.cron_ticks import period_of
from starlake_dagster_assets.automation.policies.options import list_ignored_options, task_options
from starlake_dagster_assets.errors import ProjectError
from tests.automation.conftest import dag, made, project, table, task, trigger


def test_the_nearer_word_wins():
    dags = [dag("loads", pre_load_strategy="pending")]
    tables = [table("a", dag="loads"), table("b"), table("c", dag="loads", tags=("pre_load_strategy=ack",))]
    triggers = made(project(tables, dags=dags), pre_load_strategy="imported").triggers
    said = {node: one.preload.strategy for node, one in triggers.items() if one.preload}
    assert said == {"sales.a": "pending", "sales.b": "imported", "sales.c": "ack"}


def test_the_tag_of_a_table_wins_over_that_of_its_domain():
    both = table("a", tags=("pre_load_strategy=ack", "pii", "pre_load_strategy=pending"))
    assert trigger(project([both]), "sales.a").preload.strategy == "pending"


def test_an_unknown_option_is_a_warning_with_the_file_the_line_and_the_nearest_name():
    dags = [dag("loads", pre_load_stratgy="ack", sl_env_var="{}", **{"kpi.y": "{}", "kpi.x": "{}", "SL_ROOT": "/p"})]
    (first, second) = made(project([table("a", dag="loads")], [task("x")], dags)).warnings
    assert first.startswith("metadata/dags/loads.sl.yml:2: dag.options.pre_load_stratgy: the option")
    assert first.endswith("Did you mean `pre_load_strategy`?")
    assert "kpi.y" in second and second.endswith("Did you mean `kpi.x`?")


def test_options_of_a_template_of_the_user_are_not_judged():
    own = dag("loads", team_channel="data").model_copy(update={"template": "my_template.py.j2"})
    assert made(project([table("a", dag="loads")], dags=[own])).problems == ()


def test_the_options_of_every_environment_are_known():
    classes = [getattr(resources, name) for name in resources.__all__]
    names = {option for one in classes for option in getattr(one, "option_names", {})}
    assert len(names) > 30
    assert {name for name in names if not name.startswith("SL_")} <= list_ignored_options()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("pre_load_poke_interval", "0", "pre_load_poke_interval: Input should be greater than 0; found '0'"),
        ("retries", "many", "retries: Input should be a valid integer"),
        ("pre_load_strategy", "files", "'none', 'imported', 'pending' or 'ack'; found 'files'"),
        ("start_date", "tomorrow", "`tomorrow` is not a date such as 2024-05-02"),
        ("timezone", "Europe/Pari", "no time zone `Europe/Pari`. Did you mean `Europe/Paris`?"),
        ("dataset_triggering_strategy", "a & (b", "not closed"),
        ("dataset_triggering_strategy", "kpi.x & a", "cannot wait for itself"),
        ("data_cycle", "dayly", "unknown schedule preset `dayly`. Did you mean `daily`?"),
        ("tags", "{% if %}", "not a template"),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_with_its_place(option, value, message):
    tables = [table("a", "daily"), table("b")]
    source = project(tables, [task("x", ["sales.a", "sales.b"], dag="d"), task("y", (), "daily", dag="d")])
    source.model = source.model.model_copy(update={"dags": {"d": dag("d", **{option: value})}})
    with pytest.raises(ProjectError) as caught:
        made(source)
    assert message in str(caught.value)
    assert str(caught.value).startswith("metadata/")


@pytest.mark.parametrize(
    ("start", "end", "is_wrong"),
    [
        ("2025-03-10", "2025-03-01", True),
        ("2025-03-10", "2025-03-10", False),
        ("2025-03-10T00:30:00", "2025-03-10T00:00:00Z", False),
        ("2025-03-10T01:30:00", "2025-03-10T00:00:00Z", True),
    ],
)
@pytest.mark.parametrize("place", ["metadata/dags", "metadata/load", "StarlakeAutomation"])
def test_an_end_before_the_start_is_an_error_with_its_place(place, start, end, is_wrong):
    """The time zone is Europe/Paris."""
    ends = {"start_date": start, "end_date": end}
    tags = tuple(f"{name}={value}" for name, value in ends.items()) if place == "metadata/load" else ()
    options = {"loads": dag("loads", timezone="Europe/Paris", **(ends if place == "metadata/dags" else {}))}
    source = project([table("a", "daily", dag="loads", tags=tags)])
    source.model = source.model.model_copy(update={"dags": options})
    everywhere = ends if place == "StarlakeAutomation" else {}
    if not is_wrong:
        made(source, schedules=everywhere)
        return
    with pytest.raises(ProjectError, match=rf"end_date: .* is before start_date {start[:10]}") as caught:
        made(source, schedules=everywhere)
    assert str(caught.value).startswith("StarlakeAutomation" if everywhere else "metadata/")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timezone": "Europe/Pari"}, "timezone: no time zone `Europe/Pari`. Did you mean `Europe/Paris`?"),
        ({"timezone": "Mars"}, "timezone: no time zone `Mars`."),
        ({"pre_load": {"poke_interval": 0}}, "pre_load.poke_interval: Input should be greater than 0; found 0."),
    ],
)
def test_a_setting_without_sense_is_an_error_whatever_the_project_has(settings, message):
    with pytest.raises(ProjectError) as caught:
        StarlakeAutomation(**settings)
    assert f"StarlakeAutomation: {message}" in caught.value.problems


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("pre_load_strategy=foo", "the tag is not a setting: pre_load_strategy: Input should be 'none', 'imported'"),
        ("guard=alice", "the tag is not a setting: guard:"),
        ("retries=-1", "the tag is not a setting: retries: Input should be greater than or equal to 0; found '-1'"),
    ],
)
def test_a_value_of_a_tag_that_cannot_be_read_is_an_error_with_its_place(tag, message):
    with pytest.raises(ProjectError) as caught:
        made(project([table("a", tags=("owner=x", tag))]))
    assert str(caught.value).startswith(f"metadata/load/sales/a.sl.yml:3: tags: {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sales.aa", "optional_datasets: no asset `sales.aa`. Did you mean `sales.a`?"),
        ("nope", "optional_datasets: no asset `nope`. Name it as schema.table."),
        ("sales/a", ""),
        ("other/location", ""),
    ],
)
def test_an_optional_dataset_that_is_no_asset_is_an_error(name, message):
    source = project([table("a"), table("b")], [task("x", ["sales.a", "sales.b"], tags=(f"optional_datasets={name}",))])
    if not message:
        assert made(source).problems == ()
        return
    with pytest.raises(ProjectError, match=re.escape(message)):
        made(source)


def test_the_former_name_is_the_same_option():
    source = project([table("a")], [task("x", ["sales.a"], "daily")])
    assert made(source, load_dependencies=True) == made(source, run_dependencies_first=True)
    with pytest.raises(ProjectError, match=r"`lineage.run_dependencies_first` is also given as `load_dependencies`"):
        StarlakeAutomation.from_options({"run_dependencies_first": False, "load_dependencies": True})


def test_a_setting_that_is_not_there_suggests_the_nearest():
    with pytest.raises(ProjectError, match=r"StarlakeAutomation: no setting `time_zone`; did you mean `timezone`\?"):
        StarlakeAutomation(time_zone="UTC")


def test_values_are_templates_of_the_node_and_the_project():
    dags = [dag("loads", "x.py", tags="{{schedule}} ${DB_PASSWORD}")]
    triggers = made(project([table("a", "daily", dag="loads")], dags=dags), pre_load_strategy="imported")
    assert triggers.jobs["x"].tags == ("daily", "hunter22")


def test_a_path_keeps_what_is_known_at_each_look_only():
    dags = [dag("loads", incoming_path="/in/{{domain}}/{{ table }}/{{sl_date}}/${KEY}/{YYYY}")]
    one = trigger(project([table("a", dag="loads")], dags=dags), "sales.a", pre_load_strategy="imported")
    assert one.preload.incoming_path == "/in/sales/a/{{sl_date}}/${KEY}/{YYYY}"


def test_the_time_zone_is_that_of_the_dag_configuration_then_of_the_project():
    dags = [dag("one", timezone="Asia/Tokyo"), dag("two", SL_TIMEZONE="America/Lima")]
    tables = [table(name, "daily", dag=ref) for name, ref in [("a", "one"), ("b", "two"), ("c", None)]]
    triggers = made(project(tables, dags=dags, timezone="Europe/Paris")).triggers.values()
    assert [one.cron_schedule.timezone for one in triggers] == ["Asia/Tokyo", "America/Lima", "Europe/Paris"]


@pytest.mark.parametrize("text", ["a=1, b = x y", '{"options": "a=1,b=x y"}'])
def test_a_task_may_have_options_of_its_own(text):
    source = project([], [task("x", dag="d"), task("y", dag="d")], [dag("d", **{"kpi.x": text})])
    nodes = source.graph.nodes
    assert task_options(source.model, nodes["kpi.x"]) == {"a": "1", "b": "x y"}
    assert task_options(source.model, nodes["kpi.y"]) == {}


def test_a_period_does_not_depend_on_the_day():
    crons = ["*/5 * * * *", "0 * * * *", "0 8 * * *", "0 8 * * 1-5", "0 0 * * 1", "0 0 1 * *", "0 0 1 1 *"]
    periods = [period_of(cron) for cron in crons]
    assert periods == sorted(periods) and len(set(periods)) == len(crons)
