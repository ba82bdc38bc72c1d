"""Execution of runs that were created before, as the run queue executes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run


def materializations(job: Any, run: dg.DagsterRun, instance: dg.DagsterInstance) -> Sequence[dg.DagsterEvent]:
    """Executes a run, which must succeed, and returns the events of its materializations."""
    result = execute_run(InMemoryJob(job), run, instance)
    assert result.success
    return [event for event in result.all_events if event.is_step_materialization]
