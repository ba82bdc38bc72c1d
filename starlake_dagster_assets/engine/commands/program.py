"""The starlake program's command line, answered by the embedded engine: the same arguments, markers and exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from starlake_dagster_assets.commands.model import CommandFailed, CommandSucceeded
from starlake_dagster_assets.commands.redaction import secrets_of
from starlake_dagster_assets.engine.command_output import CommandOutput, Emit
from starlake_dagster_assets.engine.commands.grammar import COMMANDS, Arguments, UsageError, read, usage
from starlake_dagster_assets.engine.commands.load import LoadRequest, run_load_command
from starlake_dagster_assets.engine.commands.preload import PreloadRequest, readiness_table, run_preload
from starlake_dagster_assets.engine.commands.stage import run_stage
from starlake_dagster_assets.engine.commands.transform import TransformRequest, run_transform
from starlake_dagster_assets.engine.session import EngineOptions, open_session
from starlake_dagster_assets.errors import EngineError, ProjectError, StarlakeError, closest_match
from starlake_dagster_assets.project.load import ProjectLoader, load_project
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project

__all__ = ["engine_options", "execute_command"]

_ALIASES = {"job": "transform"}
_RULE = "-" * 50


@dataclass(frozen=True)
class _Call:
    command: str
    arguments: Arguments
    text: str
    journal: CommandOutput
    options: EngineOptions
    environ: Mapping[str, str]


def execute_command(
    argv: Sequence[str], environ: Mapping[str, str], emit: Emit, options: EngineOptions | None = None
) -> int:
    """Runs one Starlake command.

    Args:
        argv: The command and its arguments, as the starlake program takes them.
        environ: Environment variables: `SL_ROOT`, `SL_ENV`, `SL_LOADER`, `SL_JOB_ID`, `SL_DUCKDB_*` and the project's.
        emit: Receives the lines of stdout and stderr as they arrive.
        options: Settings of the engine; None = from the environment.

    Returns:
        The exit code: 0, or 1 for everything else.
    """
    journal = CommandOutput(emit)
    if not argv or argv[0] in {"help", "--help"}:
        journal.out(_help(argv[1:]))
        return 0
    command = _ALIASES.get(argv[0], argv[0])
    text = " ".join(argv)
    journal.info("Main", f"Project located in {_root(environ)}")
    journal.info("Main", f"Running Starlake {text}")
    if command not in COMMANDS:
        return _unknown(command, journal)
    if "--help" in argv[1:]:
        journal.out(usage(command))
        return 0
    try:
        arguments = read(command, argv[1:])
    except UsageError as error:
        _rejected(error, journal)
        (options or EngineOptions()).report(CommandFailed(str(error)))
        return 1
    call = _Call(command, arguments, text, journal, options or engine_options(environ), environ)
    return _guarded(call)


def engine_options(environ: Mapping[str, str]) -> EngineOptions:
    """Returns the settings of the engine from environment variables.

    These are `SL_DUCKDB_MODE` (or `SL_DUAL_MODE`), `SL_DUCKDB_PATH`, `SL_ALL_REJECTED` and `SL_QUARANTINE_AFTER`.
    """
    mode = any(environ.get(key, "").lower() == "true" for key in ("SL_DUCKDB_MODE", "SL_DUAL_MODE"))
    path = environ.get("SL_DUCKDB_PATH") if mode else None
    tolerant = environ.get("SL_ALL_REJECTED", "").lower() == "warn"
    database = Path(path).expanduser() if path else None
    most = environ.get("SL_QUARANTINE_AFTER", "").strip()
    quarantine = int(most) if most.isdecimal() else EngineOptions.quarantine_after
    return EngineOptions(database=database, duckdb_mode=mode, may_reject_all=tolerant, quarantine_after=quarantine)


def _number(environ: Mapping[str, str], name: str) -> float:
    text = environ.get(name, "").strip()
    try:
        return float(text or 0)
    except ValueError:
        raise EngineError(f"{name}: {text!r} is not a number") from None


def _guarded(call: _Call) -> int:
    try:
        return _COMMANDS[call.command](call)
    except (StarlakeError, duckdb.Error, OSError) as error:
        _failed(call, str(error))
    except Exception as error:
        _failed(call, f"unexpected {type(error).__name__}: {error}")
    return 1


def _failed(call: _Call, message: str) -> None:
    """Writes the last message of a failed command and the log line after it on one line, as in Starlake."""
    before = f"Starlake failed to execute command with args {call.text}"
    call.journal.error("Main", message, before=before)
    call.journal.err(f'Exception in thread "main" {message}')
    call.options.report(CommandFailed(call.journal.redact(message)))


def _load_project(call: _Call) -> Project:
    return _read_project(call)[0]


def _read_project(call: _Call) -> tuple[Project, Sequence[Problem]]:
    """Returns the project, and the problems of the tables and tasks that are left out of it."""
    root = _root(call.environ)
    env = call.environ.get("SL_ENV") or None
    loader = call.options.loader or ProjectLoader(root)
    project, problems = loader.load(env=env, options=_variables(call), environ=call.environ)
    call.journal.hide(secrets_of(project))
    errors = [problem for problem in problems if problem.severity == "error"]
    for problem in problems:
        (call.journal.error if problem.severity == "error" else call.journal.warn)("SchemaHandler", str(problem))
    if any(_fatal(problem) for problem in errors):
        raise ProjectError([problem for problem in errors if _fatal(problem)])
    return project, [problem for problem in errors if problem.stops_object]


def _fatal(problem: Problem) -> bool:
    """Whether a problem stops every command, unlike those of schedules and of tables and tasks that are left out."""
    return problem.stops_object and not problem.file.startswith(("metadata/transform/", "metadata/load/"))


def _stage(call: _Call) -> int:
    project = _load_project(call)
    arguments, rest = call.arguments, _number(call.environ, "SL_STAGE_REST_SECONDS")
    run_stage(project, arguments.items("domains"), arguments.items("tables"), call.journal, call.options.report, rest)
    return _succeeded(call)


def _preload(call: _Call) -> int:
    arguments = call.arguments
    request = PreloadRequest(
        arguments.text("domain") or "",
        arguments.items("tables"),
        arguments.text("strategy"),
        arguments.text("globalAckFilePath"),
        arguments.text("notReadySentinel"),
    )
    found = run_preload(_load_project(call), request, call.journal)
    if found.ready and not found.tables:
        return _succeeded(call)
    if not found.ready and request.sentinel is not None:
        return _succeeded(call)
    if not found.ready and not found.tables:
        call.journal.err(f"Starlake failed to execute command with args {call.text}")
        return 1
    call.journal.info("Main", f"Preload Successfully {call.text}")
    call.journal.info("Main", readiness_table(request.domain, found.tables))
    return 0 if found.ready else 1


def _load(call: _Call) -> int:
    arguments = call.arguments
    request = LoadRequest(
        arguments.items("domains"),
        arguments.items("tables"),
        arguments.items("files") or (),
        arguments.text("scheduledDate"),
    )
    project, problems = _read_project(call)
    run_load_command(project, request, call.journal, call.options, call.environ, problems)
    return _succeeded(call)


def _transform(call: _Call) -> int:
    arguments = call.arguments
    request = TransformRequest(
        arguments.text("name") or "",
        arguments.text("scheduledDate"),
        truncate="truncate" in arguments.flags,
        recursive="recursive" in arguments.flags,
        compile="compile" in arguments.flags,
    )
    run_transform(_load_project(call), request, call.journal, call.options, call.environ)
    return _succeeded(call)


def _settings(call: _Call) -> int:
    name = call.arguments.text("test-connection")
    if name is None:
        return _succeeded(call)
    project = _load_project(call)
    if project.connection(name) is None:
        guess = closest_match(name, project.application.connections)
        raise EngineError(f"Connection {name} not found" + (f"; did you mean {guess}?" if guess else ""))
    call.journal.out(_tried(project, name, call))
    return _succeeded(call)


def _validate(call: _Call) -> int:
    root, env = _root(call.environ), call.environ.get("SL_ENV") or None
    project, problems = load_project(root, env=env, options=_variables(call), environ=call.environ)
    call.journal.hide(secrets_of(project))
    for name in sorted(project.application.connections):
        call.journal.out(_tried(project, name, call))
    kinds = [problem.severity for problem in problems]
    if not kinds:
        call.journal.out("No errors or warnings found")
    for kind in ("error", "warning"):
        if kind in kinds:
            call.journal.out(f"Found {kinds.count(kind)} {kind}s")
    for problem in problems:
        call.journal.out(str(problem))
    return _succeeded(call)


def _tried(project: Project, name: str, call: _Call) -> str:
    try:
        with open_session(project, name, call.journal, replace(call.options, lock_timeout=10)):
            return f"SUCCESS: Connection {name} is valid"
    except StarlakeError as error:
        return f"ERROR: Connection {name}: {error}"


def _variables(call: _Call) -> Mapping[str, str]:
    return {**call.options.variables, **call.arguments.variables}


def _succeeded(call: _Call) -> int:
    call.journal.info("Main", f"Successfully {call.text}")
    call.options.report(CommandSucceeded())
    return 0


def _unknown(command: str, journal: CommandOutput) -> int:
    guess = closest_match(command, [*COMMANDS, *_ALIASES])
    hint = f"; did you mean {guess}?" if guess else ""
    journal.out(f"ERROR: Unknown command --> {command}")
    journal.err(f"\n{_RULE}\n\n{_RULE}\nUnknown command {command}{hint}")
    known = ", ".join(sorted(COMMANDS))
    journal.err(f"The embedded engine does {known}; the other commands need the starlake program.")
    return 1


def _rejected(error: UsageError, journal: CommandOutput) -> None:
    journal.err(f"\n{_RULE}\n{error}\n{usage(error.command)}\n{_RULE}")


def _help(argv: Sequence[str]) -> str:
    if argv and _ALIASES.get(argv[0], argv[0]) in COMMANDS:
        return usage(_ALIASES.get(argv[0], argv[0]))
    listed = "\n".join(f"  {name:<12}{spec.summary}" for name, spec in COMMANDS.items())
    return f"Usage: starlake <command> [options]\n\n{listed}\n  console     Read commands from stdin, one per line."


def _root(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("SL_ROOT") or ".").absolute()


_COMMANDS = {
    "stage": _stage,
    "preload": _preload,
    "load": _load,
    "transform": _transform,
    "settings": _settings,
    "validate": _validate,
}
