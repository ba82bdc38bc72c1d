"""Checks whether a project can run on this machine; each finding names the next step."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import dagster as dg

from starlake_dagster_assets import _compat
from starlake_dagster_assets.commands import doctor_commands as inspect
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.errors import ProjectError, RunnerError, StarlakeError
from starlake_dagster_assets.execution.backends.local.console_runner import has_console
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner, find_program
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.resources.shell import StarlakeShell
from starlake_dagster_assets.starlake_project import StarlakeProject

__all__ = ["Finding", "examine", "examine_program"]

Level = Literal["ok", "warning", "error"]
_VERSION = re.compile(r"Starlake Version (\S+)")
_JAVA = re.compile(r'version "([^"]+)"')
_OLDEST_JAVA = 17
_VALID = re.compile(r"^SUCCESS: Connection (.+) is valid")
_FOUND = re.compile(r"^Found (\d+) (error|warning)s?")
_INFO = ("info", "debug", "trace", "all")
_PATIENCE = 120.0
"""Seconds that one command of the program may take."""


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        level: `ok`: nothing has to be done; `warning`: commands may run, but something is missing or uncertain;
            `error`: commands fail, and `doctor` ends with exit code 1.
        topic: Subject of the check.
        text: Result of the check.
        advice: The next step; "" if nothing has to be done.
    """

    level: Level
    topic: str
    text: str
    advice: str = ""


def examine(root: Path | None, *, env: str | None = None, starlake: str | None = None) -> Iterator[Finding]:
    """Examines the installation, the project and the starlake program, one finding at a time.

    Args:
        root: Directory of the project; None to examine the installation only.
        env: `SL_ENV`.
        starlake: The starlake program; SL_STARLAKE_PATH or `starlake` on the PATH by default.

    Yields:
        The findings. Errors are findings and are not raised.
    """
    yield from _dagster()
    yield from _extras()
    project = None
    if root is not None:
        source = StarlakeProject(root, env=env)
        found, project = _project(source)
        yield found
    yield from _variables(os.environ)
    path = starlake or os.environ.get("SL_STARLAKE_PATH") or "starlake"
    try:
        program = find_program(path, os.environ)
    except RunnerError as error:
        yield _java(os.environ)
        yield Finding("warning", "starlake", str(error), "The embedded engine needs none; StarlakeShell does.")
        return
    if root is None or project is None:
        yield _java(os.environ)
        yield Finding("ok", "starlake", program, "Give a project to see its version, its features and the connections.")
        return
    yield from examine_program(StarlakeShell(starlake=program), StarlakeProject(root, env=env))


def examine_program(resource: StarlakeShell, project: ProjectSource) -> Iterator[Finding]:
    """Examines the starlake program of a resource: Java, whether the program starts, its features, the connections.

    Args:
        resource: The resource, with the program and the environment of its processes.
        project: The project whose commands would run.

    Yields:
        The findings. Nothing is raised, and nothing is loaded.
    """
    try:
        runner = replace(resource.shell(project), timeout=_PATIENCE)
        yield _java(runner.environ)
        program = find_program(runner.starlake, runner.environ)
    except RunnerError as error:
        yield Finding("error", "starlake", str(error), "Install Starlake, or set `starlake` of StarlakeShell.")
        return
    findings = [*_starlake(program, runner)]
    yield from findings
    if any(finding.level == "error" for finding in findings):
        return
    yield from _features(runner)
    yield from _project_there(project.model, runner)


def _dagster() -> Iterator[Finding]:
    features = {
        "components": hasattr(dg, "Component"),
        "steps that go on after a failed one": _compat.continues_after_failed_steps(),
        "freshness policies": _compat.has_freshness_policies(),
    }
    lacking = [name for name, there in features.items() if not there]
    text = f"{dg.__version__}" + (f", without {', '.join(lacking)}" if lacking else "")
    yield Finding("warning" if lacking else "ok", "dagster", text, "A newer Dagster has them." if lacking else "")
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        advice = "Set it, or runs are forgotten when `dagster dev` ends."
        yield Finding("warning", "DAGSTER_HOME", "not set", advice)
    elif not Path(home).is_dir():
        yield Finding("error", "DAGSTER_HOME", f"{home} is not a directory", "Create it.")
    else:
        yield Finding("ok", "DAGSTER_HOME", home)


def _extras() -> Iterator[Finding]:
    for one in execution_environments().values():
        topic, package = f"environment {one.name}", one.requires
        try:
            one.resource_class()
            version = importlib.metadata.version(package) if package else ""
        except StarlakeError as error:
            yield Finding("error", topic, str(error), "Update or remove its package.")
            continue
        except importlib.metadata.PackageNotFoundError:
            text = f"{package} is not installed"
            yield Finding("ok", topic, text, f"Where it is needed: pip install '{one.install or package}'")
            continue
        if package == "duckdb" and not version.startswith(("0.", "1.")):
            text = f"duckdb {version}: the starlake program's driver cannot open its files"
            yield Finding("warning", topic, text, "Install a version below 2.")
        else:
            yield Finding("ok", topic, f"{package} {version}".strip() or one.resource)


def _project(source: StarlakeProject) -> tuple[Finding, Project | None]:
    try:
        model = source.model
    except ProjectError as error:
        first = str(error).splitlines()[0]
        return Finding("error", "project", first, f"starlake-dagster check {source.root} shows all."), None
    warnings = sum(problem.severity == "warning" for problem in source.problems)
    text = f"{counted(len(model.tables), 'table')}, {counted(len(model.tasks), 'task')}"
    text += f", {counted(warnings, 'warning')}" if warnings else ""
    advice = f"starlake-dagster check {source.root} shows them." if warnings else ""
    return Finding("warning" if warnings else "ok", "project", text, advice), model


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    if environ.get("SL_HTTP_PORT"):
        text = f"{environ['SL_HTTP_PORT']}: the launcher would call a server instead of running commands"
        yield Finding("warning", "SL_HTTP_PORT", text, "Unset it; StarlakeShell leaves it out.")
    level = environ.get("SL_LOG_LEVEL")
    if level is not None and level.lower() not in _INFO:
        text = f"{level}: tables would not be reported as they are loaded"
        yield Finding("warning", "SL_LOG_LEVEL", text, "Unset it; StarlakeShell sets info.")


def _java(environ: Mapping[str, str]) -> Finding:
    home = environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH", os.defpath))
    if java is None or not Path(java).exists():
        advice = f"Install a JDK, {_OLDEST_JAVA} or later, or set JAVA_HOME; the embedded engine needs none."
        return Finding("warning", "java", f"not found ({java or 'PATH'})", advice)
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("error", "java", f"{java}: {error}", "Set JAVA_HOME to a JDK that works.")
    found = _JAVA.search(done.stderr + done.stdout)
    if done.returncode or found is None:
        return Finding("error", "java", f"{java} does not report its version", "Set JAVA_HOME to a JDK that works.")
    major = int(re.sub(r"^1\.", "", found[1]).partition(".")[0].partition("-")[0] or 0)
    if major < _OLDEST_JAVA:
        advice = f"Starlake needs {_OLDEST_JAVA} or later: set JAVA_HOME to one."
        return Finding("warning", "java", f"{found[1]} ({java})", advice)
    return Finding("ok", "java", f"{found[1]} ({java})")


def _starlake(program: str, runner: Runner) -> Iterator[Finding]:
    lines, code = _run(runner, inspect.settings())
    version = next((found[1] for line in lines if (found := _VERSION.search(line))), None)
    if code != 0:
        yield Finding("error", "starlake", f"{program} settings: exit code {code}: {_last(lines)}", "Run it by hand.")
        return
    if version is None:
        text = f"{program} prints no line of level info"
        advice = "Tables cannot be reported as they are loaded; results are read from the audit tables at the end."
        yield Finding("warning", "starlake", text, advice)
    else:
        yield Finding("ok", "starlake", f"{version} ({program})")


def _features(runner: ShellRunner) -> Iterator[Finding]:
    lines, code = _run(runner, inspect.help_command("stage"))
    if code == 0:
        yield Finding("ok", "feature stage", "there")
    else:
        advice = "StarlakeShell(stage_command='import') is for versions before the command was renamed."
        yield Finding("warning", "feature stage", f"not there: {_last(lines)}", advice)
    if has_console(runner):
        yield Finding("ok", "feature console", "there: launcher='console' runs the transforms of a step over one JVM")
    else:
        yield Finding("ok", "feature console", "not there: launcher='console' takes a process a transform")
    lines, _ = _run(runner, inspect.help_command("preload"))
    if any("--notReadySentinel" in line for line in lines):
        yield Finding("ok", "feature notReadySentinel", "there: `preload` distinguishes missing files from a crash")
    else:
        yield Finding("ok", "feature notReadySentinel", "not there (before 1.5.15)")


def _project_there(project: Project, runner: Runner) -> Iterator[Finding]:
    """Yields the findings of the starlake program about the project and its connections."""
    secrets = secrets_of(project)
    lines, code = _run(runner, inspect.validate(), printed=True)
    known = {found[1] for line in lines if (found := _VALID.match(line))}
    counts = {found[2]: index for index, line in enumerate(lines) if (found := _FOUND.match(line)) and found[1] != "0"}
    by_hand = "Run `starlake validate` by hand: it names what it does not like."
    if counts:
        first = redact(" ".join(lines[min(counts.values()) :][:3]), secrets)[:300]
        yield Finding("error" if "error" in counts else "warning", "starlake validate", first, by_hand)
    elif code != 0 and known >= set(project.application.connections):
        yield Finding("warning", "starlake validate", redact(_last(lines), secrets), by_hand)
    for name in project.application.connections:
        if name in known:
            yield Finding("ok", f"connection {name}", "opens")
            continue
        lines, _ = _run(runner, inspect.settings(name))
        result_line = next((line for line in lines if line.startswith(("SUCCESS:", "ERROR:"))), None)
        if result_line is not None and result_line.startswith("SUCCESS"):
            yield Finding("ok", f"connection {name}", "opens")
            continue
        text = redact(result_line.removeprefix("ERROR:").strip() if result_line else _last(lines), secrets)
        yield Finding("error", f"connection {name}", text, "Look at its options in metadata/application.sl.yml.")


def _run(runner: Runner, command: Command, *, printed: bool = False) -> tuple[Sequence[str], int | None]:
    """Returns the lines of a command (only those of stdout if `printed` is set) and its exit code."""
    try:
        handle = runner.start(command)
        lines = [line.text for line in handle.lines() if line.stream == "stdout" or not printed]
        return lines, handle.wait().exit_code
    except RunnerError as error:
        return [str(error)], None


def _last(lines: Sequence[str]) -> str:
    printed = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("at ")]
    return printed[-1][:300] if printed else "it printed nothing"
