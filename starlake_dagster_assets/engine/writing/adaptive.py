"""Adaptive write strategies (`writeStrategy.types`): one condition per strategy, exactly one true for a file."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlake_dagster_assets.engine.writing.adaptive_conditions import evaluate_condition
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Application, Table, WriteStrategy
from starlake_dagster_assets.project.model.values import STRATEGIES
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["check_adaptive", "strategy_for"]


def check_adaptive(strategy: WriteStrategy) -> None:
    """Raises an error for strategies that a condition cannot choose: SCD2, custom templates, unknown names.

    Raises:
        EngineError: A key of `writeStrategy.types` is SCD2, or not a built-in strategy.
    """
    known = [name for name in STRATEGIES if name != "SCD2"]
    for name in strategy.types:
        if name.upper() not in known:
            guess = closest_match(name, known)
            hint = f"; did you mean {guess}?" if guess else ""
            raise EngineError(f"writeStrategy.types: {name!r} is none of {', '.join(known)}{hint}")


def strategy_for(table: Table, application: Application, file: Path) -> WriteStrategy:
    """Returns the strategy for one file.

    Args:
        table: The table, for `writeStrategy` and `pattern`.
        application: The application, for the time zone of dates.
        file: The file, which must exist: its size and modification time are read.

    Returns:
        The table's own strategy, or a copy with the type whose condition holds.

    Raises:
        EngineError: None or several conditions hold, or one cannot be evaluated.
    """
    strategy = table.metadata.write_strategy
    if not strategy.types:
        return strategy
    check_adaptive(strategy)
    names = _names(application, file)
    group = _groups(table, file)
    matching = [name for name, text in strategy.types.items() if evaluate_condition(text, names, group)]
    if len(matching) != 1:
        found = "none holds" if not matching else f"{' and '.join(matching)} hold"
        raise EngineError(
            f"{table.location}: writeStrategy.types: exactly one condition must hold for {file.name}, {found}"
        )
    return strategy.model_copy(update={"type": matching[0].upper(), "types": {}})


def _names(application: Application, file: Path) -> Mapping[str, object]:
    try:
        zone = ZoneInfo(application.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise EngineError(f"application.timezone {application.timezone!r} is not a time zone") from error
    stat = file.stat()
    names: dict[str, object] = {"fileSize": stat.st_size, "fileSizeB": stat.st_size}
    for power, unit in enumerate(("Ko", "Mo", "Go", "To"), 1):
        names[f"fileSize{unit}"] = stat.st_size / 1024**power
    names |= _day("", "dayOfWeek", datetime.now(timezone.utc).astimezone(zone))
    names |= _day("File", "fileDayOfWeek", datetime.fromtimestamp(stat.st_mtime, timezone.utc).astimezone(zone))
    return names


def _day(prefix: str, week: str, moment: datetime) -> dict[str, object]:
    return {
        f"is{prefix}FirstDayOfMonth": moment.day == 1,
        f"is{prefix}LastDayOfMonth": moment.day == monthrange(moment.year, moment.month)[1],
        week: moment.isoweekday(),
    }


def _groups(table: Table, file: Path) -> Callable[[int | str], str]:
    match = compile_java(table.pattern).fullmatch(file.name)

    def group(which: int | str) -> str:
        try:
            return (match.group(which) or "") if match else ""
        except IndexError as error:
            raise EngineError(f"{table.location}: pattern {table.pattern!r} has no group {which!r}") from error

    return group
