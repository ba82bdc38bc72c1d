"""Variables of the transforms of a run; a run started by lineage merges those of the runs of its upstreams.

The variables are JSON in the run tag `starlake/options`, by the sections of `sl_options`: `all` or `<domain>.<task>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from starlake_dagster_assets.errors import CommandError, closest_match

__all__ = [
    "CONFLICT",
    "OPTIONS",
    "RunOptions",
    "merged_options",
    "options_in",
    "options_of",
    "tag_of",
    "unknown_sections",
]

OPTIONS = "starlake/options"
"""Run tag: variables of the transforms of the run."""
CONFLICT = "starlake/options_conflict"
"""Run tag: reason why the run must fail, because its upstreams were materialized with contradictory variables."""

RunOptions = Mapping[str, Mapping[str, str]]
"""Variables by section: `all`, or the name of a task as `transform --name` takes it."""

_ALL = "all"
_EXPECTED = '{"all": {"name": "value"}, "<domain>.<task>": {"name": "value"}}'


def options_in(tags: Mapping[str, str]) -> RunOptions:
    """Returns the variables in the tags of a run.

    Args:
        tags: Tags of the run; `starlake/options` is read. Numbers and booleans become texts.

    Returns:
        Variables by section; empty without the tag.

    Raises:
        CommandError: When the tag does not have the expected form.
    """
    text = tags.get(OPTIONS, "")
    if not text.strip():
        return {}
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise CommandError(f"run tag `{OPTIONS}`: no JSON ({error}); expected {_EXPECTED}, found {text!r}.") from None
    if not isinstance(found, dict):
        raise CommandError(f"run tag `{OPTIONS}`: expected {_EXPECTED}, found {text!r}.")
    sections = cast("dict[str, Any]", found)
    return {name: _section(name, section) for name, section in sections.items()}


def options_of(options: RunOptions, task: str) -> dict[str, str]:
    """Returns the variables of one task: those of `all`, then its own.

    Args:
        options: Variables of the run, by section.
        task: `<domain>.<name>`.
    """
    return {**options.get(_ALL, {}), **options.get(task, {})}


def unknown_sections(options: RunOptions, tasks: Iterable[str]) -> list[str]:
    """Returns a sentence per section that names no task of the project; a task of another project may have the name.

    Args:
        options: Variables of the run, by section.
        tasks: Names of all tasks.
    """
    named = [name for name in options if name != _ALL]
    known = set(tasks) if named else set[str]()
    problems: list[str] = []
    for name in named:
        if name not in known:
            near = closest_match(name, sorted(known))
            hint = f"; did you mean `{near}`?" if near else "."
            problems.append(f"Run tag `{OPTIONS}`: no task of this project is named `{name}`{hint}")
    return problems


def merged_options(runs: Mapping[str, Mapping[str, str]]) -> tuple[RunOptions, str]:
    """Merges the options of several runs.

    Args:
        runs: The tags of each run, by its id.

    Returns:
        The variables by section; and a sentence that names the contradictions, or "".
    """
    found: dict[str, dict[str, str]] = {}
    origin: dict[tuple[str, str], str] = {}
    wrong: list[str] = []
    for run, tags in sorted(runs.items()):
        try:
            options = options_in(tags)
        except CommandError as error:  # the run itself failed for that, unless it had no transform
            wrong.append(f"run {run}: {error}")
            continue
        for section, values in options.items():
            for name, value in values.items():
                known = found.setdefault(section, {}).setdefault(name, value)
                first = origin.setdefault((section, name), run)
                if known != value:
                    wrong.append(f"`{name}` of `{section}` is {known!r} by run {first} and {value!r} by run {run}")
    if not wrong:
        return found, ""
    return found, (
        f"The upstreams were materialized with contradictory options: {'; '.join(wrong)}. "
        f"Start this run with the tag `{OPTIONS}` that is meant and without `{CONFLICT}`, or rerun the upstreams."
    )


def tag_of(options: RunOptions) -> dict[str, str]:
    """Returns the run tag that stores variables.

    Args:
        options: Variables by section: `all`, or `<domain>.<task>`.

    Returns:
        The tag, for `RunRequest(tags=…)`, jobs and schedules; empty without variables.
    """
    sections = {section: dict(values) for section, values in sorted(options.items()) if values}
    return {OPTIONS: json.dumps(sections, sort_keys=True, ensure_ascii=False)} if sections else {}


def _section(name: str, section: Any) -> dict[str, str]:
    if not isinstance(section, dict):
        raise CommandError(f"run tag `{OPTIONS}`, section `{name}`: expected {_EXPECTED}, found {section!r}.")
    return {key: _text(name, key, value) for key, value in cast("dict[str, Any]", section).items()}


def _text(section: str, key: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise CommandError(f"run tag `{OPTIONS}`: `{key}` of `{section}`: expected a text or a number, found {value!r}.")
