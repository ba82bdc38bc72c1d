"""Builds Starlake commands, and rejects arguments that the program's grammar does not accept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import CommandError

__all__ = [
    "ARGV_BYTES",
    "list_argument",
    "load",
    "loaded_tables",
    "options_argument",
    "path_argument",
    "preload",
    "scheduled_date_text",
    "stage",
    "transform",
    "with_options",
]

ARGV_BYTES = 96 * 1024
"""Maximum size of one list argument in bytes: Linux rejects a single argument above 128 KiB."""

_NO_ENV: Mapping[str, str] = MappingProxyType({})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OPTIONS = "--options"
_TAKE_OPTIONS = ("stage", "preload", "load", "transform")


def stage(
    domain: str,
    tables: Sequence[str] = (),
    *,
    options: Mapping[str, str] | None = None,
    env: Mapping[str, str] = _NO_ENV,
    secrets: frozenset[str] = frozenset(),
    job_id: str = "",
) -> Command:
    """Builds `stage`, which moves the incoming files of a domain to its stage area.

    Args:
        domain: Directory name below `metadata/load`.
        tables: File stems of tables; all tables of the domain if empty.
        options: Variables for this command (`--options`).
        env: Environment variables of the command.
        secrets: Values that are never shown.
        job_id: Written to `SL_JOB_ID`.

    Returns:
        The command.

    Raises:
        CommandError: When a name or an option cannot be written on the command line.
    """
    return Command("stage", (*_scope(domain, tables), *options_argument(options)), _env(env, job_id), secrets, job_id)


def load(
    domain: str,
    tables: Sequence[str],
    *,
    scheduled_date: datetime | None = None,
    options: Mapping[str, str] | None = None,
    env: Mapping[str, str] = _NO_ENV,
    secrets: frozenset[str] = frozenset(),
    job_id: str = "",
    spark: Mapping[str, str] = _NO_ENV,
    overrides: tuple[str, ...] = (),
) -> Command:
    """Builds `load`, which loads the staged files of some tables of one domain, in one process.

    Args:
        domain: Directory name below `metadata/load`.
        tables: File stems; at least one.
        scheduled_date: `--scheduledDate`, with a time zone.
        options: Variables for this command (`--options`).
        env: Environment variables of the command.
        secrets: Values that are never shown.
        job_id: Written to `SL_JOB_ID`; the audit rows carry it.
        spark: Spark properties of this command.
        overrides: Settings of the execution environment for this command.

    Returns:
        The command.

    Raises:
        CommandError: When a name, a date or an option cannot be written on the command line, or `tables` is empty.
    """
    if not tables:
        raise CommandError(f"load of domain {domain!r}: no table given; name at least one.")
    args = (*_scope(domain, tables), *_scheduled(scheduled_date), *options_argument(options))
    return Command("load", args, _env(env, job_id), secrets, job_id, spark, overrides)


def loaded_tables(command: Command) -> tuple[str, tuple[str, ...]]:
    """Returns the domain directory and the file stems of a `load` command; no stems if the command names no tables."""
    values = dict(zip(command.args, command.args[1:], strict=False))
    stems = (stem for stem in values.get("--tables", "").split(",") if stem)
    return values.get("--domains", ""), tuple(stems)


def transform(
    name: str,
    options: Mapping[str, str] | None = None,
    scheduled_date: datetime | None = None,
    *,
    truncate: bool = False,
    env: Mapping[str, str] = _NO_ENV,
    secrets: frozenset[str] = frozenset(),
    job_id: str = "",
    spark: Mapping[str, str] = _NO_ENV,
    overrides: tuple[str, ...] = (),
) -> Command:
    """Builds `transform`, which runs one task; never with `--recursive`, whose exit code is not reliable.

    Args:
        name: `<task domain>.<file stem>`.
        options: Variables for this command (`--options`).
        scheduled_date: `--scheduledDate`, with a time zone.
        truncate: `--truncate true`: empties the table of an APPEND task before its rows are inserted.
        env: Environment variables of the command.
        secrets: Values that are never shown.
        job_id: Written to `SL_JOB_ID`; the audit row carries it.
        spark: Spark properties of this command.
        overrides: Settings of the execution environment for this command.

    Returns:
        The command.

    Raises:
        CommandError: When the name, the date or an option cannot be written on the command line.
    """
    if "." not in _word("task name", name):
        raise CommandError(f"task name {name!r}: expected <domain>.<name>.")
    args = (
        "--name",
        name,
        *(("--truncate", "true") if truncate else ()),
        *_scheduled(scheduled_date),
        *options_argument(options),
    )
    return Command("transform", args, _env(env, job_id), secrets, job_id, spark, overrides)


def preload(
    domain: str,
    tables: Sequence[str] = (),
    *,
    strategy: Literal["imported", "pending", "ack"],
    ack_file: str | None = None,
    not_ready_sentinel: str | None = None,
    options: Mapping[str, str] | None = None,
    env: Mapping[str, str] = _NO_ENV,
    secrets: frozenset[str] = frozenset(),
    job_id: str = "",
) -> Command:
    """Builds `preload`, which reports whether the files of a domain exist; `preload` has no `--scheduledDate`.

    Args:
        domain: Directory name below `metadata/load`.
        tables: File stems. `pending` needs them: without them, Starlake always answers "ready".
        strategy: `imported` looks at the incoming area, `pending` at the stage area, `ack` waits for a file.
        ack_file: `--globalAckFilePath`: a path or URI; with `ack` only, which consumes it.
        not_ready_sentinel: `--notReadySentinel`: written if the files do not exist, which is then not a failure
            (Starlake 1.5.15 and later).
        options: Variables for this command (`--options`).
        env: Environment variables of the command.
        secrets: Values that are never shown.
        job_id: Written to `SL_JOB_ID`.

    Returns:
        The command.

    Raises:
        CommandError: When an argument cannot be written on the command line, or one that the strategy needs is missing.
    """
    if strategy == "pending" and not tables:
        raise CommandError(f"preload of domain {domain!r}: `pending` without tables is always ready; name them.")
    if (strategy == "ack") != (ack_file is not None):
        needed = "needs the path of the ack file" if strategy == "ack" else "looks at no ack file"
        raise CommandError(f"preload of domain {domain!r}: strategy `{strategy}` {needed}.")
    args = (
        *("--domain", _word("domain", domain)),
        *(list_argument("--tables", "table", tables)),
        *("--strategy", strategy),
        *path_argument("--globalAckFilePath", ack_file),
        *path_argument("--notReadySentinel", not_ready_sentinel),
        *options_argument(options),
    )
    return Command("preload", args, _env(env, job_id), secrets, job_id)


def scheduled_date_text(moment: datetime) -> str:
    """Formats a time for `--scheduledDate`: in UTC and unquoted, such as `2024-03-01T10:00:00+0000`.

    Raises:
        CommandError: When the time has no time zone.
    """
    if moment.tzinfo is None:
        raise CommandError(f"scheduled date {moment.isoformat()}: it has no time zone; give one, such as UTC.")
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")


def list_argument(option: str, what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Returns an option and its list of names; an empty tuple if there are no names.

    Raises:
        CommandError: When a name cannot be written on the command line, or the names do not fit one argument.
    """
    joined = ",".join(_word(what, name) for name in names)
    if len(names) > 1 and len(joined.encode("utf-8", "surrogatepass")) > ARGV_BYTES:
        raise CommandError(f"{len(names)} {what}s do not fit one argument ({option}): cut the list.")
    return (option, joined) if names else ()


def path_argument(option: str, path: str | None) -> tuple[str, ...]:
    """Returns an option and its path or URI; an empty tuple if there is no path.

    Raises:
        CommandError: When the path is empty, begins with `-` or contains a control character.
    """
    if path is None:
        return ()
    if not path.strip() or path.startswith("-") or _CONTROL.search(path):
        raise CommandError(f"{option}: expected a path or URI, found {path!r}.")
    return (option, path)


def _scope(domain: str, tables: Sequence[str]) -> tuple[str, ...]:
    return ("--domains", _word("domain", domain), *list_argument("--tables", "table", tables))


def _scheduled(moment: datetime | None) -> tuple[str, ...]:
    return () if moment is None else ("--scheduledDate", scheduled_date_text(moment))


def options_argument(options: Mapping[str, str] | None) -> tuple[str, ...]:
    """Returns `--options` and its value; an empty tuple if there are no options.

    Raises:
        CommandError: When an option cannot be written on the command line.
    """
    if not options:
        return ()
    pairs: list[str] = []
    for key, value in options.items():
        if "=" in _word("option", key):
            raise CommandError(f"option {key!r}: a name cannot contain '='.")
        if "," in value:
            raise CommandError(f"option {key!r}: its value contains a comma, which Starlake cannot escape.")
        if _CONTROL.search(value):
            raise CommandError(f"option {key!r}: its value contains a line break or control character.")
        pairs.append(f"{key}={value}")
    return (_OPTIONS, ",".join(pairs))


def with_options(command: Command, options: Mapping[str, str]) -> Command:
    """Returns the command with more `--options`, such as the project's own variables; existing options take precedence.

    Raises:
        CommandError: When an option cannot be written on the command line.
    """
    own = options_argument(options)
    if not own or command.name not in _TAKE_OPTIONS:
        return command
    if _OPTIONS not in command.args:
        return replace(command, args=(*command.args, *own))
    at = command.args.index(_OPTIONS) + 1  # the last of two values counts
    return replace(command, args=(*command.args[:at], f"{own[1]},{command.args[at]}", *command.args[at + 1 :]))


def _word(what: str, text: str) -> str:
    if not text.strip():
        raise CommandError(f"{what}: an empty name was given.")
    if "," in text:
        raise CommandError(f"{what} {text!r}: a name cannot contain a comma, which separates names.")
    if text.startswith("-"):
        raise CommandError(f"{what} {text!r}: a name cannot begin with '-', which begins an option.")
    if _CONTROL.search(text):
        raise CommandError(f"{what} {text!r}: a name cannot contain a line break or control character.")
    return text


def _env(env: Mapping[str, str], job_id: str) -> Mapping[str, str]:
    return MappingProxyType({**env, **({"SL_JOB_ID": job_id} if job_id else {})})
