"""A DAG as the text of a file: the same for Airflow 2.9 to 3, the same each time."""

from __future__ import annotations

from typing import Any

from starlake_dagster_assets.airflow.environments import IMPORTS, constants, operator
from starlake_dagster_assets.airflow.model import AssetRule, DagSpec, EnvironmentName, TaskSpec
from starlake_dagster_assets.airflow.source import Raw, call, literal, text_block
from starlake_dagster_assets.triggers.model import Clock

__all__ = ["MARKER", "render"]

MARKER = "# Exported by starlake-dagster airflow export: changes here are lost."

_AIRFLOW = """try:  # Airflow 3
    from airflow.sdk import DAG, Asset, CronTriggerTimetable, TaskGroup
except ImportError:  # Airflow 2.9 to 2.11
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.timetables.trigger import CronTriggerTimetable
    from airflow.utils.task_group import TaskGroup
"""
_EMPTY = """try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:
    from airflow.operators.empty import EmptyOperator
"""
_SENSOR = """try:
    from airflow.providers.standard.sensors.python import PythonSensor
except ImportError:
    from airflow.sensors.python import PythonSensor
"""
_READY = '''def files_are_there(argv, env):
    """Asks Starlake whether files are there; a crash fails the task."""
    with tempfile.TemporaryDirectory() as here:
        marker = Path(here, "not_ready")
        argv = [*argv, "--notReadySentinel", str(marker)]
        subprocess.run(argv, env={**os.environ, **env}, check=True)
        return not marker.exists()
'''


def render(dag: DagSpec, environment: EnvironmentName, root: str, env: str | None) -> str:
    """The source of a DAG file.

    Args:
        dag: The DAG.
        environment: Where commands run.
        root: `SL_ROOT` where no Airflow variable `starlake_root` says otherwise.
        env: `SL_ENV`.
    """
    checks = any(task.kind == "check" for task in dag.tasks)
    parts = [MARKER, text_block(dag.description.strip()), ""]
    parts += ["import os\nimport subprocess\nimport tempfile"] if checks else []
    parts += ["from datetime import datetime, timedelta" + ("\nfrom pathlib import Path" if checks else ""), ""]
    uses = [_EMPTY] if any(task.kind == "skip" for task in dag.tasks) else []
    parts += [_imports(dag), *uses, *([_SENSOR] if checks else []), IMPORTS[environment]]
    parts += [_settings(dag, environment, root, env)]
    parts += ["", _READY, ""] if checks else []
    parts += _body(dag, environment)
    return "\n".join(parts).rstrip() + "\n"


def _imports(dag: DagSpec) -> str:
    if isinstance(dag.schedule, Clock):
        return _AIRFLOW
    lines = _AIRFLOW.replace(", CronTriggerTimetable", "").splitlines(keepends=True)
    return "".join(line for line in lines if "CronTriggerTimetable" not in line)


def _settings(dag: DagSpec, environment: EnvironmentName, root: str, env: str | None) -> str:
    where = "{{ var.value.get('starlake_root', " + _quoted(root) + ") }}"
    lines = [f"ROOT = {literal(where)}"]
    values: dict[str, Any] = {"SL_ROOT": Raw("ROOT")}
    if env:
        values["SL_ENV"] = env
    if environment == "shell":
        values["STARLAKE"] = "{{ var.value.get('starlake_path', 'starlake') }}"
    if environment != "dataproc":
        lines.append(f"ENV = {literal(values, used=6)}")
    if environment in {"fargate", "cloud_run"}:
        lines.append('ENV_LIST = [{"name": name, "value": value} for name, value in ENV.items()]')
    if environment == "fargate":
        subnets = Raw("\"{{ var.value.get('aws_task_private_subnets', '') }}\"")
        lines.append(f"NETWORK = {literal({'awsvpcConfiguration': {'subnets': [subnets]}}, used=10)}")
    lines += [f"{name} = {literal(value)}" for name, value in constants(environment, dag.tasks)]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A text between quotes inside a Jinja expression: only what cannot end it is written as it stands."""
    plain = all(char.isascii() and (char.isalnum() or char in " /._-:@") for char in text)
    return f"'{text}'" if plain else "'" + "".join(f"\\U{ord(char):08x}" for char in text) + "'"


def _body(dag: DagSpec, environment: EnvironmentName) -> list[str]:
    retries: list[tuple[str, Any]] = [
        ("retries", dag.retries),
        ("retry_delay", Raw(f"timedelta(seconds={dag.retry_delay!r})")),
        ("retry_exponential_backoff", True),
    ]
    if dag.priority is not None:
        retries.append(("priority_weight", dag.priority))
    if environment == "shell":
        retries.append(("append_env", True))
    year, month, day = (int(part) for part in dag.start_date.split("-"))
    arguments: list[tuple[str, Any]] = [
        ("dag_id", dag.id),
        ("description", dag.description),
        ("schedule", Raw(_schedule(dag.schedule))),
        ("start_date", Raw(f"datetime({year}, {month}, {day})")),
        ("catchup", isinstance(dag.schedule, Clock) and dag.schedule.catchup),
        ("max_active_runs", dag.max_active_runs),
        ("tags", list(dag.tags)),
        ("default_args", dict(retries)),
    ]
    lines = [f"with {_exploded('DAG', arguments, 0)}:"]
    names = {task.id: f"task_{number}" for number, task in enumerate(dag.tasks, 1)}
    opened: tuple[str, ...] = ()
    for task in dag.tasks:
        if task.group != opened:
            common = 0
            while common < min(len(opened), len(task.group)) and opened[common] == task.group[common]:
                common += 1
            # a group is opened once: tasks of one domain stand together
            for depth in range(common, len(task.group)):
                pad = "    " * (depth + 1)
                group = f"group_{task.group[depth]}"
                lines.append(f'{pad}with TaskGroup("{group}", prefix_group_id=False):')
            opened = task.group
        depth = len(opened) + 1
        lines.append(_task(task, environment, names[task.id], depth))
    lines.append("")
    for task in dag.tasks:
        lines += [f"    {names[before]} >> {names[task.id]}" for before in task.upstream]
    return lines


def _task(task: TaskSpec, environment: EnvironmentName, name: str, depth: int) -> str:
    pad = "    " * depth
    arguments: list[tuple[str, Any]] = [("task_id", task.id)]
    if task.kind == "skip":
        kind = "EmptyOperator"
    elif task.kind == "check" and task.preload is not None:
        kind = "PythonSensor"
        argv = ["{{ var.value.get('starlake_path', 'starlake') }}", *task.args]
        arguments += [
            ("python_callable", Raw("files_are_there")),
            ("op_kwargs", {"argv": argv, "env": Raw("ENV")}),
            ("mode", "reschedule"),
            ("poke_interval", task.preload.poke_interval),
            ("timeout", task.preload.ack_wait_timeout),
            ("soft_fail", task.preload.soft_fail),
        ]
    else:
        kind, own = operator(environment, task)
        arguments += own
    for key, uris in (("inlets", task.inlets), ("outlets", task.outlets)):
        if uris:
            arguments.append((key, [Raw(f"Asset({literal(uri)})") for uri in uris]))
    if task.pool:
        arguments.append(("pool", task.pool))
    if task.doc:
        arguments.append(("doc_md", Raw(text_block(task.doc))))
    return f"{pad}{name} = {_exploded(kind, arguments, len(pad))}"


def _exploded(name: str, arguments: list[tuple[str, Any]], indent: int) -> str:
    pad = " " * (indent + 4)
    lines = [f"{pad}{key}={_value(key, one, indent + 4)},\n" for key, one in arguments]
    return f"{name}(\n{''.join(lines)}{' ' * indent})"


def _value(key: str, value: Any, indent: int) -> str:
    if key == "env":
        return literal({Raw("**ENV"): Raw(""), **value}, indent, indent + len(key) + 2).replace("**ENV: ", "**ENV")
    return literal(value, indent, indent + len(key) + 2)


def _schedule(schedule: Any) -> str:
    if isinstance(schedule, Clock):
        zone = [("", schedule.cron), ("timezone", schedule.timezone)]
        return call("CronTriggerTimetable", zone, 4, 14)
    if isinstance(schedule, AssetRule):
        one = _rule(schedule)
        return f"(\n        {one}\n    )" if "\n" in one else one
    return literal(schedule)


def _rule(rule: AssetRule | str) -> str:
    if isinstance(rule, str):
        return f"Asset({literal(rule)})"
    parts = [_rule(part) if isinstance(part, str) else f"({_rule(part)})" for part in rule.parts]
    return f"\n        {rule.word} ".join(parts)
