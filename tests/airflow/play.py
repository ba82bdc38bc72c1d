"""Runs inside an environment of Airflow: plays histories with the scheduler of Airflow, tasks in the same process.

The scheduler decides which runs and tasks start: ticks, asset events, trigger rules, retries, pools. Only the clock is
that of the histories: a run of a cron is created for the tick that the history names.

`python play.py HISTORIES.json` prints, by history, the states of the load with whether its asset has an event, and the
states of the task that reads it.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow import settings
from airflow.api.common.trigger_dag import trigger_dag
from airflow.executors.base_executor import BaseExecutor
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.timetables.base import DataInterval

try:
    from airflow.models.asset import AssetDagRunQueue, AssetEvent, AssetModel
    from airflow.sdk.definitions.dag import _run_task

    MAJOR = 3
except ImportError:
    from airflow.models.dag import _run_task
    from airflow.models.dataset import DatasetDagRunQueue as AssetDagRunQueue
    from airflow.models.dataset import DatasetEvent as AssetEvent
    from airflow.models.dataset import DatasetModel as AssetModel

    MAJOR = 2


class InlineExecutor(BaseExecutor):
    """Runs each task in this process."""

    dags: dict[str, Any]

    def execute_async(self, key: Any, **_: Any) -> None:
        """Airflow 2: runs a task."""
        self._run(key)

    def _process_workloads(self, workloads: Any) -> None:
        """Airflow 3: runs tasks."""
        for workload in workloads:
            self.queued_tasks.pop(workload.ti.key, None)
            self._run(workload.ti.key)

    def _run(self, key: Any) -> None:
        with settings.Session() as session:
            query = session.query(TaskInstance).filter_by(dag_id=key.dag_id, task_id=key.task_id, run_id=key.run_id)
            one, task = query.one(), self.dags[key.dag_id].get_task(key.task_id)
            try:
                if MAJOR == 3:
                    _run_task(ti=one, task=task)
                else:
                    one.task = task
                    _run_task(ti=one, session=session)
            except Exception:
                logging.getLogger(__name__).exception("%s failed", key)
            session.commit()


def read(folder: str) -> dict[str, Any]:
    """Returns the DAGs of a folder, once the database knows them."""
    if MAJOR == 2:
        from airflow.models.dagbag import DagBag

        bag = DagBag(folder, include_examples=False)
        bag.sync_to_db()
        return bag.dags
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    manager = DagBundlesManager()
    with settings.Session() as session:
        manager.sync_bundles_to_db(session=session)
        session.commit()
    (bundle,) = manager.get_all_dag_bundles()
    bundle.initialize()
    bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle.version)
    return bag.dags


class Player:
    """Plays the days of one history, one after the other.

    Attributes:
        given: The history.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.days = list(zip(given["days"], given["intervals"], strict=True))

    def next_day(self, session: Any) -> bool:
        """Begins the next day once the one before has ended; whether a day has not ended."""
        if self._is_busy(session):
            return True
        if not self.days:
            return False
        files, interval = self.days.pop(0)
        for name in files:
            shutil.copy(self.given["file"], Path(self.given["incoming"], name))
        start, end = map(datetime.fromisoformat, interval)
        if self.given["start"] == "manual":
            conf = {"sl_start_date": interval[0], "sl_end_date": interval[1]}
            known: dict[str, Any] = {"conf": conf}
            if "triggered_by" in inspect.signature(trigger_dag).parameters:
                from airflow.utils.types import DagRunTriggeredByType

                known["triggered_by"] = DagRunTriggeredByType.TEST
            trigger_dag(self.given["load"], **known)
            return True
        model = session.get(DagModel, self.given["load"])
        model.next_dagrun, model.next_dagrun_data_interval = start, DataInterval(start, end)
        model.next_dagrun_create_after = end
        return True

    def _is_busy(self, session: Any) -> bool:
        ids = (self.given["load"], self.given["transform"])
        runs = session.query(DagRun).filter(DagRun.dag_id.in_(ids), DagRun.state.in_(("queued", "running")))
        queue = session.query(AssetDagRunQueue).filter_by(target_dag_id=self.given["transform"])
        return bool(runs.count() or queue.count())

    def states(self, session: Any) -> dict[str, Any]:
        """Returns the states of the load and of the transform."""
        uri = AssetModel.uri == self.given["uri"]
        events = session.query(AssetEvent).join(AssetModel, AssetModel.id == AssetEvent.__table__.c[_ASSET_ID])
        runs = {event.source_run_id for event in events.filter(uri)}
        loads = self._states_of(session, "load", self.given["load_task"])
        return {
            "loads": [[state, run in runs] for run, state in loads],
            "sums": [state for _, state in self._states_of(session, "transform", "kpi_sums_task")],
        }

    def _states_of(self, session: Any, dag: str, task: str) -> list[tuple[str, str]]:
        runs = session.query(DagRun).filter_by(dag_id=self.given[dag]).order_by(DagRun.id)
        query = session.query(TaskInstance)
        found = [query.filter_by(dag_id=run.dag_id, run_id=run.run_id, task_id=task).one() for run in runs]
        return [(one.run_id, str(getattr(one.state, "value", one.state))) for one in found]


_ASSET_ID = "asset_id" if MAJOR == 3 else "dataset_id"


def main(path: str) -> None:
    """Plays all histories at the same time."""
    given = json.loads(Path(path).read_text())
    executor = InlineExecutor(parallelism=4)
    executor.dags = read(given["dags"])
    job = Job()
    with settings.Session() as session:
        session.add(job)
        session.commit()
        players = [Player(one) for one in given["histories"]]
        loads = [one["load"] for one in given["histories"]]
        if MAJOR == 3:
            runner = SchedulerJobRunner(job, executors=[executor])
        else:
            job.executors, job.executor = [executor], executor
            runner = SchedulerJobRunner(job, subdir=given["dags"])
            runner._try_to_load_executor = lambda _: executor
        executor.job_id = job.id
        busy = True
        while busy:
            # No tick but those of the histories.
            session.query(DagModel).filter(DagModel.dag_id.in_(loads)).update({"next_dagrun_create_after": None})
            busy = sum(player.next_day(session) for player in players) > 0
            session.commit()
            started = runner._do_scheduling(session)
            session.commit()
            executor.heartbeat()
            executor.running.clear()
            if not started:
                time.sleep(0.2)
        print(json.dumps({player.given["name"]: player.states(session) for player in players}))


if __name__ == "__main__":
    main(sys.argv[1])
