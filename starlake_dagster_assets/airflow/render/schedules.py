"""Schedules, conditions on assets, and times as Python source."""

from __future__ import annotations

from datetime import datetime

from starlake_dagster_assets.airflow.plan.model import AssetExpression, ContinuousSchedule
from starlake_dagster_assets.airflow.render.source import call, python_literal
from starlake_dagster_assets.automation.policies.model import CronSchedule

__all__ = ["assets_source", "condition_source", "moment_source", "schedule_source"]


def schedule_source(schedule: CronSchedule | AssetExpression | ContinuousSchedule | None) -> str:
    """Returns the schedule of a DAG."""
    if isinstance(schedule, CronSchedule):
        return call("CronDataIntervalTimetable", [("", schedule.cron), ("timezone", schedule.timezone)], 4, 14)
    if isinstance(schedule, AssetExpression):
        if len(schedule.parts) == 1:
            return f"[{assets_source(schedule)}]"
        flat = assets_source(schedule, " ")
        return flat if len(flat) + 14 <= 88 else f"(\n        {assets_source(schedule)}\n    )"
    return "None" if schedule is None else '"@continuous"'


def assets_source(rule: AssetExpression | str, line: str = "\n        ") -> str:
    """Returns a condition on assets; `line` is the text before each operator."""
    if isinstance(rule, str):
        return f"Asset({python_literal(rule)})"
    parts = [assets_source(part) if isinstance(part, str) else f"({assets_source(part, ' ')})" for part in rule.parts]
    return f"{line}{rule.operator} ".join(parts)


def condition_source(rule: AssetExpression, indent: int) -> str:
    """Returns a condition on assets, wrapped before `&` and `|` if it is long."""
    flat = assets_source(rule, " ")
    if indent + len(flat) < 88:
        return flat
    texts: list[str] = []
    for part in rule.parts:
        text = assets_source(part) if isinstance(part, str) else f"({assets_source(part, ' ')})"
        if isinstance(part, AssetExpression) and indent + len(text) + 3 > 88:
            inner = condition_source(part, indent + 4)
            text = f"(\n{' ' * (indent + 4)}{inner}\n{' ' * indent})"
        texts.append(text)
    return f"\n{' ' * indent}{rule.operator} ".join(texts)


def moment_source(moment: datetime, timezone: str) -> str:
    """Returns a time; one without an offset is in a time zone."""
    if moment.tzinfo is not None:
        return f"pendulum.parse({python_literal(moment.isoformat())})"
    parts = [moment.year, moment.month, moment.day]
    clock = [moment.hour, moment.minute, moment.second]
    while clock and not clock[-1]:
        clock.pop()
    return f"pendulum.datetime({', '.join(map(str, parts + clock))}, tz={python_literal(timezone)})"
