"""Tasks that run in Dagster: one run per task instance at a time, also if an answer of Dagster is lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.airflow.runtime import proxying
from starlake_dagster_assets.airflow.runtime.proxying import RunsInDagster

INSTANCE = {f"dagster-airlift/airflow-{name}": name for name in ("dag-id", "dag-run-id", "task-id")}


class Dagster:
    """A Dagster with some runs, each its tags and whether it has ended."""

    def __init__(self, runs: dict[str, tuple[dict[str, str], bool]], *, lost: bool = False, down: bool = False) -> None:
        self.runs, self.lost, self.down = runs, lost, down
        self.timeouts: list[Any] = []

    def request(self, method: str, url: str, *, json: Any, timeout: Any = None) -> Any:
        self.timeouts.append(timeout)
        wanted = json["variables"]["filter"]
        tags = {one["key"]: one["value"] for one in wanted["tags"]}
        found = [
            {"runId": run}
            for run, (known, ended) in reversed(self.runs.items())
            if tags.items() <= known.items() and not (ended and "statuses" in wanted)
        ]
        return {"runsOrError": {"results": found[:1]}}

    def post(self, url: str, **given: Any) -> Any:
        return self.request("post", url, **given)


class Operator:
    """Stands in for the operator of dagster-airlift."""

    dagster: Dagster

    def get_dagster_session(self, context: Any) -> Any:
        return self.dagster

    def default_dagster_run_tags(self, context: Any) -> dict[str, str]:
        return INSTANCE

    def get_valid_graphql_response(self, answer: Any, key: str) -> Any:
        return answer[key]

    def launch_dagster_run(self, context: Any, session: Any, dagster_url: str, execution_params: Any) -> str:
        if not self.dagster.down:
            tags = {one["key"]: one["value"] for one in execution_params["executionMetadata"]["tags"]}
            self.dagster.runs["new"] = (tags, False)
        if self.dagster.lost or self.dagster.down:
            raise TimeoutError("no answer")
        return "new"


def launched(dagster: Dagster, monkeypatch) -> str:
    """The run of the second try of a task."""
    monkeypatch.setattr(proxying, "window", lambda context: ("", ""))
    kind: Any = type("Kind", (RunsInDagster, Operator), {"dagster": dagster})
    one, context = kind(), {"ti": SimpleNamespace(try_number=2)}
    session = one.get_dagster_session(context)
    tags = [{"key": name, "value": value} for name, value in one.default_dagster_run_tags(context).items()]
    return one.launch_dagster_run(context, session, "http://dagster", {"executionMetadata": {"tags": tags}})


def tags(number: int, **changed: str) -> dict[str, str]:
    return {**INSTANCE, "starlake/airflow_try": str(number), **changed}


@pytest.mark.parametrize(
    ("runs", "lost", "expected"),
    [
        ({}, False, "new"),
        ({"first": (tags(1), False)}, False, "first"),
        ({"first": (tags(1), True)}, False, "new"),
        ({"other": (tags(1, **{"dagster-airlift/airflow-task-id": "other"}), False)}, False, "new"),
        ({"first": (tags(1), True)}, True, "new"),
    ],
    ids=["none", "active_one_of_an_earlier_try", "ended_one", "that_of_another_task", "lost_answer"],
)
def test_a_task_instance_has_one_run_at_a_time(monkeypatch, runs, lost, expected):
    dagster = Dagster(runs, lost=lost)
    assert launched(dagster, monkeypatch) == expected
    assert ("new" in dagster.runs) is (expected == "new")
    assert set(dagster.timeouts) == {60}


def test_a_dagster_that_cannot_be_reached_fails_the_task(monkeypatch):
    with pytest.raises(TimeoutError):
        launched(Dagster({"first": (tags(1), True)}, down=True), monkeypatch)


def test_the_queries_are_those_of_dagster():
    schema = pytest.importorskip("dagster_graphql.schema")
    graphql = pytest.importorskip("graphql")
    known = schema.create_schema().graphql_schema
    for query in (proxying._RUNS, proxying._MATERIALIZED):
        assert graphql.validate(known, graphql.parse(query)) == []
    statuses = known.type_map["RunStatus"].values.keys()
    assert statuses - {"SUCCESS", "FAILURE", "CANCELED", "SUSPENDED"} == set(proxying._ACTIVE)
