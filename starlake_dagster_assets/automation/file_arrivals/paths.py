"""Paths of the files that loads wait for: templates with variables and dates, rendered at each tick."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.errors import StarlakeError, closest_match
from starlake_dagster_assets.execution.file_store import is_absolute
from starlake_dagster_assets.project.files.environment import date_variables
from starlake_dagster_assets.project.files.rendering import RenderError, render
from starlake_dagster_assets.project.model.project import Domain, Project

__all__ = [
    "DEFAULT_ACK",
    "ack_path",
    "ack_paths",
    "areas",
    "dated_names",
    "directory",
    "rendered",
    "to_strftime",
]

DEFAULT_ACK = "{SL_DATASETS}/pending/{domain}/{YYYY-MM-DD}.ack"
"""Default of `global_ack_file_path`, as in Starlake's own packages."""

_BRACES = re.compile(r"(?<![{$])\{([^{}]+)\}(?!\})")
_ESCAPED = re.compile(r"\{\{(\{\{[^{}]*\}\})\}\}")
"""A name in four braces, as the documentation of Starlake's packages writes it for Python's `format`."""
_NAME = re.compile(r"\{\{\s*(\w+)\s*\}\}|\$\{\s*(\w+)\s*\}")
_DATE = re.compile(r"(?:YYYY|yyyy|YY|yy|MM|DD|dd|HH|hh|mm|ss|[-_/.:T ])+")
_PARTS = {
    **{"YYYY": "%Y", "yyyy": "%Y", "YY": "%y", "yy": "%y", "MM": "%m", "DD": "%d", "dd": "%d"},
    **{"HH": "%H", "hh": "%H", "mm": "%M", "ss": "%S"},
}
_CODES = {
    **{"ds": "%Y-%m-%d", "ds_nodash": "%Y%m%d", "sl_date": "%Y%m%d", "sl_datetime": "%Y%m%d%H%M%S"},
    **{"sl_year": "%Y", "sl_month": "%m", "sl_day": "%d", "sl_hour": "%H", "sl_minute": "%M", "sl_second": "%S"},
}
_STRFTIME = re.compile(r"%[YymdHMSj]")


def directory(pre_load: PreLoad, project: Project, domain: Domain, moment: datetime) -> str:
    """Returns the directory that is listed for the files of a domain, by pre-load strategy.

    For a domain without a directory of its own, other programs put the files into the stage area, which `ack` lists.

    Args:
        pre_load: The strategy, and `incoming_path` or `pending_path`: a path without `{domain}` contains one directory
            per domain.
        project: The project, which defines the variables.
        domain: The domain of the tables.
        moment: Gives the date, in the time zone of the project.

    Returns:
        An absolute path or URL.

    Raises:
        StarlakeError: When the path names an unknown variable, or there is no directory at all.
    """
    elsewhere = pre_load.strategy == "ack" and not (pre_load.incoming_path or domain.incoming)
    pending = pre_load.strategy == "pending" or elsewhere
    template = pre_load.pending_path if pending else pre_load.incoming_path
    if template:
        path = rendered(template, project, domain, moment, "pending_path" if pending else "incoming_path")
        return path if _names_domain(template) else f"{path.rstrip('/')}/{domain.name}"
    if pending:
        return _area(project.application.areas.stage, project, domain)
    if not domain.incoming:
        raise StarlakeError(
            f"{domain.location}: domain '{domain.name}' has no metadata.directory, so there is nowhere to look for its "
            "files; set load.metadata.directory, or the option incoming_path"
        )
    return _absolute(domain.incoming, project)


def areas(pre_load: PreLoad, project: Project, domain: Domain, moment: datetime) -> Mapping[str, str]:
    """Returns the directories that the files of a domain pass through on their way into its tables, by name.

    Args:
        pre_load: The configured paths.
        project: The project, which defines the areas.
        domain: The domain.
        moment: Gives the date.
    """
    found: dict[str, str] = {}
    if pre_load.incoming_path or domain.incoming:
        found["incoming"] = directory(replace(pre_load, strategy="imported"), project, domain, moment)
    found["stage"] = directory(replace(pre_load, strategy="pending"), project, domain, moment)
    return {**found, "ingesting": _area(project.application.areas.ingesting, project, domain)}


def ack_path(pre_load: PreLoad, project: Project, domain: Domain, moment: datetime) -> str:
    """Returns the path of the ack file that strategy `ack` waits for (`global_ack_file_path`).

    Args:
        pre_load: The strategy and the path.
        project: The project, which defines the variables.
        domain: The domain, for `{domain}`.
        moment: Gives the date, in the time zone of the project.

    Raises:
        StarlakeError: When the path names an unknown variable.
    """
    text = pre_load.global_ack_file_path or DEFAULT_ACK
    return rendered(text, project, domain, moment, "global_ack_file_path")


def ack_paths(
    pre_load: PreLoad, project: Project, domain: Domain, moment: datetime, *, before: int = 0, after: int = 0
) -> list[str]:
    """Returns the ack files that are answered at a moment, oldest first, including those of neighbouring dates.

    A path that names the hour has neighbouring hours instead of days.

    Args:
        pre_load: The strategy and the path.
        project: The project, which defines the variables.
        domain: The domain, for `{domain}`.
        moment: Gives the date.
        before: How many dates before that of the moment count.
        after: How many dates after that of the moment count.

    Raises:
        StarlakeError: When the path names an unknown variable.
    """
    text = to_strftime(pre_load.global_ack_file_path or DEFAULT_ACK)
    step = timedelta(hours=1) if re.search(r"%[HMS]", text) else timedelta(days=1)
    moments = [moment + number * step for number in range(-before, after + 1)]
    return list(dict.fromkeys(ack_path(pre_load, project, domain, one) for one in moments))


def dated_names(pre_load: PreLoad, project: Project, domain: Domain, moment: datetime) -> re.Pattern[str]:
    """Returns the pattern of the names that ack files have on any date."""
    name = to_strftime(pre_load.global_ack_file_path or DEFAULT_ACK).rpartition("/")[2]
    parts = [
        rendered(part, project, domain, moment, "global_ack_file_path").rpartition("/")[2] if part else ""
        for part in _STRFTIME.split(name)
    ]
    return re.compile(r"\d+".join(map(re.escape, parts)))


def rendered(text: str, project: Project, domain: Domain, moment: datetime, option: str) -> str:
    """Returns a path with its variables and dates filled in.

    Args:
        text: Path with `{domain}`, `{SL_DATASETS}` and any other variable of the project, also as `{{name}}` and
            `${name}`; a date as `{YYYY-MM-DD}`, `{{ds}}`, `{{sl_date}}` or in the codes of strftime (`%Y-%m-%d`).
        project: The project, which defines the variables.
        domain: The domain, whose raw name is `{domain}`.
        moment: Gives the date.
        option: The name of the option, for the message.

    Raises:
        StarlakeError: When a name is not known.
    """
    known = _variables(project, domain, moment)
    text = to_strftime(text)
    for match in (*_NAME.finditer(text), *_BRACES.finditer(text)):
        name = next(filter(None, match.groups())).strip()
        if name not in known:
            near = closest_match(name, {**known, **_CODES})
            raise StarlakeError(
                f"{option}: {text!r} names `{name}`, which is not a variable of the project"
                + (f"; did you mean `{near}`?" if near else "; a date is written {YYYY-MM-DD} or %Y-%m-%d.")
            )
    dated = _STRFTIME.sub(lambda code: moment.strftime(code[0]), text)
    try:
        text = render(_BRACES.sub(lambda match: known[match[1].strip()], dated), known)
    except RenderError as error:
        raise StarlakeError(f"{option}: {error.message}: {text!r}") from error
    return _absolute(text, project)


def to_strftime(text: str) -> str:
    """Returns a path with its dates as strftime codes, in either notation; the rest is unchanged.

    Examples:
        >>> to_strftime("{domain}/{YYYY-MM-DD}/{{ds_nodash}}/${sl_hour}/%M.ack")
        '{domain}/%Y-%m-%d/%Y%m%d/%H/%M.ack'
        >>> to_strftime("{{{{ds}}}}.ack")
        '%Y-%m-%d.ack'
    """
    text = _NAME.sub(lambda match: _CODES.get(match[1] or match[2], match[0]), _ESCAPED.sub(r"\1", text))
    return _BRACES.sub(lambda match: _date_codes(match[1].strip()) or match[0], text)


def _area(name: str, project: Project, domain: Domain) -> str:
    base = name if is_absolute(name) else f"{project.application.datasets.rstrip('/')}/{name}"
    return _absolute(f"{base.rstrip('/')}/{domain.name}", project)


def _variables(project: Project, domain: Domain, moment: datetime) -> Mapping[str, str]:
    datasets = _absolute(project.application.datasets, project)
    return {
        **project.variables,
        **date_variables(moment),
        "domain": domain.name,
        "SL_ROOT": project.root,
        "SL_DATASETS": datasets,
    }


def _date_codes(name: str) -> str | None:
    if not _DATE.fullmatch(name):
        return _CODES.get(name)
    return re.sub("|".join(_PARTS), lambda match: _PARTS[match[0]], name)


def _names_domain(text: str) -> bool:
    return re.search(r"\{\s*domain\s*\}", text) is not None


def _absolute(path: str, project: Project) -> str:
    return path if is_absolute(path) else str(PurePosixPath(project.root) / path)
