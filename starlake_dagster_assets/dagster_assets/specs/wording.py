"""Write strategies, schedules and expectations in words, for the UI."""

import re
from functools import lru_cache

from starlake_dagster_assets.execution.expectation_checks import NamedExpectation
from starlake_dagster_assets.project.checks.expectations import called_macro, macro_call
from starlake_dagster_assets.project.model.project import WriteStrategy

__all__ = ["expectation_text", "schedule_text", "strategy_text"]

_STRATEGIES = {
    "APPEND": "adds rows",
    "OVERWRITE": "replaces all rows",
    "UPSERT_BY_KEY": "replaces rows with the same {key}, adds the others",
    "UPSERT_BY_KEY_AND_TIMESTAMP": "replaces rows with the same {key} by newer ones ({timestamp}), adds the others",
    "DELETE_THEN_INSERT": "deletes rows with the same {key}, then adds rows",
    "OVERWRITE_BY_PARTITION": "replaces the partitions that it has rows for",
    "SCD2": "keeps the history of rows with the same {key}",
}
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def strategy_text(strategy: WriteStrategy) -> str:
    """Returns a write strategy with its effect in words.

    Examples:
        >>> strategy_text(WriteStrategy(type="UPSERT_BY_KEY", key=("id",)))
        'UPSERT_BY_KEY: replaces rows with the same id, adds the others'
    """
    if strategy.types:
        return "; ".join(f"{name} when {test}" for name, test in strategy.types.items())
    words = _STRATEGIES.get(strategy.type.upper())
    if words is None:
        return strategy.type
    return f"{strategy.type}: {words.format(key=', '.join(strategy.key) or 'key', timestamp=strategy.timestamp or '')}"


@lru_cache(maxsize=1024)
def schedule_text(cron: str) -> str:
    """Returns a simple cron expression in words, followed by the expression; any other expression unchanged.

    Examples:
        >>> schedule_text("0 5 * * *"), schedule_text("*/7 1-3 * * *")
        ('every day at 05:00 (0 5 * * *)', '*/7 1-3 * * *')
    """
    minute, hour, day, month, weekday = cron.split()
    if not minute.isdigit() or month != "*":
        return cron
    if (hour, day, weekday) == ("*", "*", "*"):
        return f"every hour at minute {int(minute)} ({cron})"
    if not hour.isdigit():
        return cron
    at = f"at {int(hour):02d}:{int(minute):02d} ({cron})"
    if (day, weekday) == ("*", "*"):
        return f"every day {at}"
    if day == "*" and weekday.isdigit():
        return f"every {_DAYS[int(weekday)]} {at}"
    if weekday == "*" and day.isdigit():
        return f"on day {int(day)} of every month {at}"
    return cron


def expectation_text(item: NamedExpectation) -> str:
    """Returns a sentence that says when an expectation fails, with the name of its macro in words.

    Examples:
        >>> expectation_text(NamedExpectation("x", "expect_no_null('name')", blocking=True))
        "Fails when rows break `expect_no_null('name')` (expect no null); its failure blocks the table."
    """
    macro = called_macro(item.expect)
    words = f" ({re.sub('_+', ' ', macro).strip()})" if macro and "_" in macro else ""
    effect = "; its failure blocks the table" if item.blocking else ""
    return f"Fails when rows break `{macro_call(item.expect)}`{words}{effect}."
