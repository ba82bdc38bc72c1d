"""Text of a DAG file: one text for Airflow 2.10 to 3, and the same text at each export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlake_dagster_assets.airflow.operators import ExpectationCheckRenderer, OperatorRenderer
from starlake_dagster_assets.airflow.operators.renderer import DATE
from starlake_dagster_assets.airflow.operators.standard import EMPTY, PYTHON
from starlake_dagster_assets.airflow.plan.ids import python_names
from starlake_dagster_assets.airflow.plan.model import MAX_FAILED_RUNS, ContinuousSchedule, DagSpec, TaskSpec
from starlake_dagster_assets.airflow.plan.operator_arguments import with_imports
from starlake_dagster_assets.airflow.plan.wiring import AFTER_ALL, Edge, edges_of, groups_of, last_edge, wiring
from starlake_dagster_assets.airflow.proxied_state import switchable_tasks
from starlake_dagster_assets.airflow.render.schedules import (
    assets_source,
    condition_source,
    moment_source,
    schedule_source,
)
from starlake_dagster_assets.airflow.render.source import Call, Raw, call, python_literal, text_block
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.errors import ProjectError

__all__ = ["MARKER", "render_dag_file"]

MARKER = "# Exported by `starlake-dagster airflow export`: changes made here are lost."

_AIRFLOW = """\
try:
    from airflow.sdk import DAG, Asset, {names}
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
{former}"""
_GROUP = "    from airflow.utils.task_group import TaskGroup\n"
_CHECKS = ("check", "warn")
_USES = {
    "command_line": "command_line(",
    "emit_load_window": "post_execute=emit_load_window",
    AFTER_ALL: f"{AFTER_ALL}(",
}
"""Names of the shared module that a file imports if its text contains their use."""
_ON_CLUSTER = ("wait", "start", "stage", "load", "transform")
_RESERVED = (
    "AUDIT",
    "Asset",
    "CronDataIntervalTimetable",
    "DAG",
    "DATE",
    "MACROS",
    "Path",
    "TaskGroup",
    "command_line",
    "dag",
    "pendulum",
    "sys",
    "run_after_all_assets",
    "table_tasks",
    "emit_load_window",
    "emit_window",
    "timedelta",
)


def render_dag_file(dag: DagSpec, project: ProjectSource, helper: str) -> str:
    """Returns the source of a DAG file.

    Args:
        dag: The DAG.
        project: The project that it is exported from.
        helper: Name of the shared module, in the same folder.

    Raises:
        PluginError: The operator renderer of another package raises an unexpected error.
    """
    registered = get_environment(dag.environment)
    with registered.calling(f"`airflow` {registered.airflow}"):
        return _source(dag, project, helper, registered.operator_renderer()(dag, project))


def _source(dag: DagSpec, project: ProjectSource, helper: str, renderer: OperatorRenderer) -> str:
    asks = dag.audit is not None and any(task.checks for task in dag.tasks)
    checks = (
        ExpectationCheckRenderer(dag.audit, any(task.kind == "warn" for task in dag.tasks), renderer.templates)
        if dag.audit and asks
        else None
    )
    transforms = any(task.kind == "transform" for task in dag.tasks)
    kinds = {task.kind for task in dag.tasks}
    shared = [*([] if dag.embedded else ["MACROS"]), *renderer.shared, *(["expectations_query"] if checks else [])]
    shared.append(_window_hook(dag))
    shared += ["emit_updates"] if "finish" in kinds else []
    shared += ["proxy_to_dagster"] if dag.airlift else []
    shared += ["embed"] if dag.embedded else ["window_params"] if transforms else []
    shared += ["end_transform"] if any(task.audited for task in dag.tasks) else []
    shared += ["run_if_updated"] if any(task.follows is not None for task in dag.tasks) else []
    reserved = {*_RESERVED, *shared, *renderer.reserved, *_imported(renderer.imports)}
    reserved |= {*checks.reserved, *_imported(checks.imports)} if checks else set()
    dag, objects = with_imports(dag, reserved)
    groups = dict.fromkeys(group for task in dag.tasks for group in task.groups)
    names = python_names([*(task.id for task in dag.tasks), *groups], reserved | _imported(objects))
    body = (_function if dag.embedded else _body)(dag, renderer, checks, names, transforms)
    functions = [text.rstrip() for text in renderer.functions()]
    shared += [name for name, use in _USES.items() if any(use in text for text in (*functions, body))]
    head = [_header(dag, project), *_imports(dag, renderer, checks, objects)]
    head.append("sys.path.append(str(Path(__file__).parent))")
    head.append(_shared(helper, sorted(shared, key=lambda name: (not name.isupper(), name))))
    constants = [*renderer.constants()]
    constants += [("DATE", DATE)] if "scheduledDate=DATE" in body else []
    constants += [("AUDIT", dag.audit.arguments)] if dag.audit and "end_transform" in shared else []
    constants += checks.constants() if checks else []
    head.append("\n".join(f"{name} = {python_literal(value, used=len(name) + 3)}" for name, value in constants))
    parts = ["\n\n".join(one for one in head if one), *functions, body]
    return "\n\n\n".join(parts) + ("" if dag.embedded else _documents(dag, names) + _proxying(dag)) + "\n"


def _shared(helper: str, names: Sequence[str]) -> str:
    line = f"from {helper} import {', '.join(names)}"
    return line if len(line) <= 88 else f"from {helper} import (\n" + "".join(f"    {one},\n" for one in names) + ")"


def _header(dag: DagSpec, project: ProjectSource) -> str:
    env = f", environment {project.env}" if project.env else ""
    made = "\n".join(f"- {source}" for source in dag.sources)
    about = f"{dag.title.strip()}.\n\nMade from the Starlake project {project.root.name}{env}:\n{made}\n"
    return f"{MARKER}\n{text_block(about.replace('..', '.') if dag.title.endswith('.') else about)}"


def _imports(
    dag: DagSpec, renderer: OperatorRenderer, checks: ExpectationCheckRenderer | None, objects: Sequence[str]
) -> list[str]:
    modules = ["import sys", "from datetime import timedelta", "from pathlib import Path"]
    groups = dag.embedded or any(task.groups for task in dag.tasks)
    names, former = ["TaskGroup"] if groups else [], _GROUP if groups else ""
    base = _AIRFLOW.format(names=", ".join(names), former=former).rstrip().replace("Asset, \n", "Asset\n")
    base = (
        base.replace("import DAG, ", "import ").replace("    from airflow import DAG\n", "") if dag.embedded else base
    )
    ends = [PYTHON] if any(task.kind == "finish" for task in dag.tasks) else []
    ends += [EMPTY] if any(task.kind == "end" for task in dag.tasks) else []
    blocks = list(dict.fromkeys([*renderer.imports, *(checks.imports if checks else ()), *ends]))
    plain = sorted(block for block in blocks if block.startswith("from"))
    tried = [block for block in blocks if not block.startswith("from")]
    timetable = "from airflow.timetables.interval import CronDataIntervalTimetable"
    timed = [timetable] if isinstance(dag.schedule, CronSchedule) else []
    third = "\n".join([*([] if dag.embedded else ["import pendulum"]), *sorted([*plain, *timed, *objects])])
    return ["\n".join(modules), third, base, *tried]


def _imported(blocks: Sequence[str]) -> set[str]:
    words = {word.strip("(),") for block in blocks for word in block.split()}
    return {word for word in words if word.isidentifier()}


def _body(
    dag: DagSpec,
    renderer: OperatorRenderer,
    checks: ExpectationCheckRenderer | None,
    names: Mapping[str, str],
    transforms: bool,
) -> str:
    name = " as dag" if dag.airlift else ""
    first = f"with {_exploded('DAG', _dag_arguments(dag, renderer, transforms), 0)}{name}:"
    return "\n".join([first, *_tasks(dag, renderer, checks, names, 1)])


def _function(
    dag: DagSpec, renderer: OperatorRenderer, checks: ExpectationCheckRenderer | None, names: Mapping[str, str], _: bool
) -> str:
    """Returns the schedule for a DAG of the user, and the function that adds the tasks to it."""
    arguments: list[tuple[str, Any]] = [
        ("group_id", Raw("group_id")),
        ("prefix_group_id", Raw("False")),
        ("default_args", _defaults(dag, renderer)),
    ]
    documents = [f"        {names[task.id]}.doc_md = {text_block(task.doc)}" for task in dag.tasks if task.doc]
    lines = [
        f"SCHEDULE = {schedule_source(dag.schedule)}\n\n",
        f"def task_group(group_id={python_literal(dag.id)}):",
        '    """Adds the tasks of this file to the DAG around the call, and returns their group."""',
        f"    with {_exploded('TaskGroup', arguments, 4)} as group:",
        "        embed(group)",
    ]
    return "\n".join([*lines, *_tasks(dag, renderer, checks, names, 2), *documents, "    return group"])


def _tasks(
    dag: DagSpec,
    renderer: OperatorRenderer,
    checks: ExpectationCheckRenderer | None,
    names: Mapping[str, str],
    depth: int,
) -> list[str]:
    more = "    " * (depth - 1)
    opened: tuple[str, ...] = ()
    around = renderer.setup_and_teardown
    lines = [f"{more}{line}" for text in (_cluster(around) if around else []) for line in text.splitlines()]
    hooks = _window_hooks(dag)
    edges = edges_of(dag.tasks, names)
    last = last_edge(dag.tasks, edges, names)
    if around:
        edges += _cluster_edges(dag, renderer, around[0][0], around[1][0], names)
    sides = {frozenset(side) for edge in edges for side in edge}
    groups = {members: group for members, group in groups_of(dag.tasks, names).items() if members in sides}
    named = {group: names[group[-1]] for group in groups.values()}
    for task in dag.tasks:
        lines += _groups(opened, task.groups, depth, named, dag)
        opened = task.groups
        lines.append(_task(task, renderer, checks, names[task.id], depth + len(opened), hooks.get(task.id)))
    statements = wiring(edges, {members: named[group] for members, group in groups.items()}, last)
    placed = [f"    {more}{one}".replace("\n", f"\n{more}") for one in statements]
    return [*lines, *(["", *placed] if placed else [])]


def _defaults(dag: DagSpec, renderer: OperatorRenderer) -> dict[str, Any]:
    return {**dag.default_args, **renderer.default_args(), "post_execute": Raw(_window_hook(dag))}


def _window_hook(dag: DagSpec) -> str:
    """Returns the default `post_execute` of tasks, which adds the window of the run to events."""
    only_loads = not any(task.kind == "transform" for task in dag.tasks)
    return "emit_load_window" if only_loads and _loads_by_clock(dag) else "emit_window"


def _window_hooks(dag: DagSpec) -> Mapping[str, str]:
    """Returns the `post_execute` of the tasks that do not use the default, by task id."""
    loads, default = _loads_by_clock(dag), _window_hook(dag)
    if default == "emit_window":
        return dict.fromkeys(loads, "emit_load_window")
    return {task.id: "None" for task in dag.tasks if task.id not in loads and task.kind in ("wait", "stage")}


def _loads_by_clock(dag: DagSpec) -> frozenset[str]:
    """Returns the ids of a DAG's scheduled loads, of the checks of these loads, and of the `finish` task."""
    loads = (
        {task.id for task in dag.tasks if task.kind == "load"} if isinstance(dag.schedule, CronSchedule) else set[str]()
    )
    return frozenset(
        loads | {task.id for task in dag.tasks if loads and (task.checks in loads or task.kind == "finish")}
    )


def _dag_arguments(dag: DagSpec, renderer: OperatorRenderer, transforms: bool) -> list[tuple[str, Any]]:
    arguments: list[tuple[str, Any]] = [
        ("dag_id", dag.id),
        ("description", dag.title),
        ("doc_md", Raw("__doc__")),
        ("schedule", Raw(schedule_source(dag.schedule))),
        ("start_date", Raw(moment_source(dag.start_date, dag.timezone))),
    ]
    if dag.end_date is not None:
        arguments.append(("end_date", Raw(moment_source(dag.end_date, dag.timezone))))
    if dag.starts_by_pending_files:
        arguments.append(("max_consecutive_failed_dag_runs", MAX_FAILED_RUNS))
    arguments += [
        ("catchup", dag.catchup),
        ("max_active_runs", 1 if isinstance(dag.schedule, ContinuousSchedule) else dag.max_active_runs),
        ("tags", list(dag.tags)),
        ("default_args", _defaults(dag, renderer)),
    ]
    if transforms:
        arguments.append(("params", Raw("window_params()")))
    return [*arguments, ("user_defined_macros", Raw("MACROS"))]


def _groups(
    opened: tuple[str, ...], wanted: tuple[str, ...], depth: int, named: Mapping[tuple[str, ...], str], dag: DagSpec
) -> list[str]:
    more, common = "" if dag.prefix_groups else ", prefix_group_id=False", 0
    while common < min(len(opened), len(wanted)) and opened[common] == wanted[common]:
        common += 1
    return [
        f"{'    ' * (depth + level)}with TaskGroup(group_id={python_literal(wanted[level])}{more}){name}:"
        for level in range(common, len(wanted))
        for name in [f" as {named[wanted[: level + 1]]}" if wanted[: level + 1] in named else ""]
    ]


def _cluster(around: Any) -> list[str]:
    """Returns the source of the tasks that create the cluster, and delete it even after a failure."""
    (setup, maker, how), (teardown, remover, who) = around
    return [
        f"    {setup} = {_exploded(maker, [('task_id', setup), *how], 4)}",
        f"    {teardown} = {_exploded(remover, [('task_id', teardown), *who], 4)}.as_teardown(setups={setup})",
    ]


def _cluster_edges(
    dag: DagSpec, renderer: OperatorRenderer, setup: str, teardown: str, names: Mapping[str, str]
) -> list[Edge]:
    """Returns the edges of the cluster: from waits to setup, from setup to commands, and from commands to teardown."""
    work = {task.id: task for task in dag.tasks if task.kind in _ON_CLUSTER and not renderer.runs_no_command(task)}
    waits = [task for task in dag.tasks if renderer.runs_no_command(task)]
    waited = {up for task in waits for up in task.upstream}
    before = tuple(names[task.id] for task in waits if task.id not in waited)
    within = {up for task in work.values() for up in task.upstream}
    first = tuple(names[one.id] for one in work.values() if not work.keys() & {*one.upstream})
    last = tuple(names[one.id] for one in work.values() if one.id not in within)
    return [*([(before, (setup,))] if before else []), ((setup,), first), (last, (teardown,))]


_ENDS: Mapping[str, tuple[str, list[tuple[str, Any]]]] = {
    "finish": ("PythonOperator", [("python_callable", Raw("emit_updates"))]),
    "end": ("EmptyOperator", []),
}


def _task(
    task: TaskSpec,
    renderer: OperatorRenderer,
    checks: ExpectationCheckRenderer | None,
    name: str,
    depth: int,
    hook: str | None,
) -> str:
    pad = "    " * depth
    if task.kind in _ENDS:
        operator, own = _ENDS[task.kind]
    else:
        operator, own = checks.task(task) if checks and task.kind in _CHECKS else renderer.task(task)
    arguments: list[tuple[str, Any]] = [("task_id", task.id.rpartition(".")[2]), *own]
    for key, uris in (("inlets", task.inlets), ("outlets", task.outlets)):
        if uris:
            arguments.append((key, [Raw(f"Asset({python_literal(uri)})") for uri in uris]))
    if task.owner:
        arguments.append(("owner", task.owner))
    if task.follows is not None:
        named: dict[str, Any] = {} if task.outlets else {"own": Raw(assets_source(task.own))}
        named |= {} if task.present is None else {"present": list(task.present)}
        condition = Raw(condition_source(task.follows, len(pad) + 8))
        arguments.append(("pre_execute", Call("run_if_updated", [condition], named=named)))
    if hook and not any(key == "post_execute" for key, _ in own):
        arguments.append(("post_execute", Raw(hook)))
    if task.trigger_rule:
        arguments.append(("trigger_rule", task.trigger_rule))
    if doubled := {key for key, _ in arguments} & task.arguments.keys():
        raise ProjectError([f"{task.id}: Airflow argument {min(doubled)}: the export writes it itself; leave it out."])
    arguments += task.arguments.items()
    return f"{pad}{name} = {_exploded(operator, arguments, len(pad))}"


def _exploded(name: str, arguments: Sequence[tuple[str, Any]], indent: int) -> str:
    pad = " " * (indent + 4)
    lines = [f"{pad}{key}={python_literal(one, indent + 4, indent + 6 + len(key))},\n" for key, one in arguments]
    return f"{name}(\n{''.join(lines)}{' ' * indent})"


def _documents(dag: DagSpec, names: Mapping[str, str]) -> str:
    """Returns the statements that set the documentation of tasks, which follow the DAG in the file."""
    texts = [f"{names[task.id]}.doc_md = {text_block(task.doc)}" for task in dag.tasks if task.doc]
    return "\n\n" + "\n".join(texts) if texts else ""


def _proxying(dag: DagSpec) -> str:
    """Returns the call that replaces tasks with runs in Dagster, which must be at the end of the file."""
    if not dag.airlift:
        return ""
    also = {
        task.id: list(others)
        for task in switchable_tasks(dag)
        if (others := [*({task.checks} - {""}), *_warnings_of(dag, task)])
    }
    operator = [("operator", dag.airlift_operator)] if dag.airlift_operator else []
    return "\n\n" + call("proxy_to_dagster", [("", Raw("dag")), *([("", also)] if also else []), *operator])


def _warnings_of(dag: DagSpec, task: TaskSpec) -> list[str]:
    return [one.id for one in dag.tasks if one.kind == "warn" and one.checks in (task.id, task.checks or task.id)]
