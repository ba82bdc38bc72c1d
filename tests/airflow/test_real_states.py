"""The same histories in real Airflows and in Dagster: the table of states in docs/airflow.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets import export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from tests.airflow.real import AIRFLOWS, HERE, Airflow
from tests.airflow.test_states import HISTORIES, History, Shop, in_dagster, interval

pytestmark = [pytest.mark.airflow, pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(900)]

NAMES = {history.name: f"h{number}" for number, history in enumerate(HISTORIES)}
SETTINGS = {
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": "100",
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "100",
}


@pytest.fixture(scope="module", params=sorted(AIRFLOWS), ids=lambda major: f"airflow{major}")
def airflow(request) -> Airflow:
    return AIRFLOWS[request.param].install()


@pytest.fixture(scope="module")
def played(airflow, tmp_path_factory) -> tuple[dict[str, Shop], dict[str, Any]]:
    """The projects of all histories in one Airflow, and the states of their tasks by name."""
    work = tmp_path_factory.mktemp(f"airflow{airflow.major}")
    shops = {name: Shop(work / name, history) for name, history in zip(NAMES.values(), HISTORIES, strict=True)}
    env, given = dict(SETTINGS), []
    for name, shop in shops.items():
        env |= {
            **shop.scripted.environ,
            f"AIRFLOW_VAR_{name.upper()}_STARLAKE_PATH": str(shop.program),
            f"AIRFLOW_VAR_{name.upper()}_STARLAKE_ROOT": str(shop.root),
        }
        given.append(_exported(name, shop, work))
    plan = work / "histories.json"
    plan.write_text(json.dumps({"dags": str(work / "dags"), "histories": given}))
    home = airflow.home(work / "home", work / "dags")
    done = home.run(HERE / "play.py", str(plan), env=env)
    return shops, json.loads(done.stdout.strip().splitlines()[-1])


def _exported(name: str, shop: Shop, work: Path) -> dict[str, Any]:
    """Exports the project of a history, and describes the history."""
    options = AirflowOptions(prefix=name, variables_prefix=f"{name}_", uri=f"x-starlake://{name}/{{key}}")
    plan = export_airflow(shop.project, work / "dags", automation=shop.automation, options=options, name=name).plan
    load, load_task = plan.node_tasks["sales.orders"]
    incoming = shop.root / "datasets" / "incoming" / "sales"
    incoming.mkdir(parents=True)
    file = work / "file.csv"
    file.write_text("id\n1\n")
    ticks = [interval(tick) for tick in shop.history.ticks]
    return {
        "name": name,
        "start": shop.history.start,
        "days": shop.history.days,
        "intervals": [[start.isoformat(), end.isoformat()] for start, end in ticks],
        "file": str(file),
        "incoming": str(incoming),
        "load": load,
        "load_task": load_task,
        "transform": plan.node_tasks["kpi.sums"][0],
        "uri": plan.uris["sales.orders"],
    }


@pytest.mark.parametrize("history", HISTORIES, ids=[one.name for one in HISTORIES])
def test_the_scheduler_of_airflow_gives_the_states_of_dagster(played, history: History, tmp_path):
    shops, found = played
    name = NAMES[history.name]
    assert found[name]["loads"] == [[state, state == "success"] for state in history.loads]
    sums = [state for state in found[name]["sums"] if state != "skipped"]
    states = history.loads, sums, shops[name].windows()
    assert in_dagster(Shop(tmp_path, history)) == states
