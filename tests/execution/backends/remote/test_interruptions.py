"""A run that is killed, cancelled or cut off in each phase of an execution: one execution, none unwatched."""

from __future__ import annotations

from random import Random

import pytest

from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import write_project
from tests.execution.backends.remote.test_simulated import TABLES, Run
from tests.fakes.simulated_service import Faults, Killed, SimulatedReader, SimulatedService, SimulatedTime

PHASES = ("before submission", "during submission", "after submission", "streaming", "between tables", "at the end")
ENDS = ("killed", "cancelled", "cut off")


class Phased(SimulatedService):
    """Ends the first attempt once, in a phase of its load."""

    def __init__(self, time: SimulatedTime, phase: str, ends: str) -> None:
        super().__init__(Random(phase + ends), time, Faults(), TABLES)
        self.phase, self.ends = phase, ends
        self.due = True

    def _reach(self, phase: str) -> None:
        if phase != self.phase or not self.due:
            return
        self.due = False
        if self.ends == "killed":
            self.time.dead = True
            raise Killed
        if self.ends == "cancelled":
            raise KeyboardInterrupt
        self.faults.outage = (self.time.now, self.time.now + 2000)
        self._call()

    def submit(self, submission):
        if submission.command.name != "load":
            return super().submit(submission)
        self._reach("before submission")
        name = super().submit(submission)
        self._reach("during submission")
        return name

    def status(self, execution):
        one = self.executions[execution]
        if len(one.lands) > 1:
            landed = [table for moment, table in one.lands if moment <= self.time.now]
            if not landed:
                self._reach("after submission")
            elif len(landed) < len(one.lands):
                self._reach("between tables")
            if one.end <= self.time.now:
                self._reach("at the end")
        return super().status(execution)

    def logs(self, execution, cursor):
        found = super().logs(execution, cursor)
        if found[0] and len(self.executions[execution].lands) > 1:
            self._reach("streaming")
        return found


class PhasedRun(Run):
    """A run whose first attempt ends in a phase."""

    def __init__(self, project: StarlakeProject, phase: str, ends: str, *, reads: bool) -> None:
        super().__init__(project, 0)
        self.time = SimulatedTime()
        self.service = Phased(self.time, phase, ends)
        self.reader = SimulatedReader(self.service) if reads else None


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    directory = tmp_path_factory.mktemp("phases")
    return StarlakeProject(write_project(directory / "project"), cache_dir=directory / "cache")


@pytest.mark.parametrize("reads", [True, False], ids=["reader", "log"])
@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("phase", PHASES)
def test_never_two_at_once_and_never_one_unwatched(project, phase, ends, reads):
    run = PhasedRun(project, phase, ends, reads=reads)
    run.attempt(0)
    assert not run.service.due, "the phase was not reached"
    assert run.cancelled == (ends == "cancelled")
    if ends == "cancelled":
        assert run.service.running() == []
        assert run.service.broken == run.wrong == []
        return
    run.time.now = max(run.time.now, run.service.faults.outage[1])
    for number in (1, 2):
        if not run.green:
            run.attempt(number)
    assert run.green
    run._judge()
    assert run.wrong == []
    loads = [one for one in run.service.executions.values() if one.lands]
    assert len(loads) == 1, "a retry follows what the first attempt started"
    assert run.service.landed().keys() == {*TABLES}
    assert {name: run.reported[name] for name in TABLES} == dict.fromkeys(TABLES, "materialized")
