"""Arguments of single tasks, from tags such as `airflow.pool=reports` or the hook `get_airflow_arguments`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from starlake_dagster_assets.airflow.plan.argument_types import BASE_ARGUMENTS, argument_problem, to_airflow_value
from starlake_dagster_assets.airflow.plan.model import DagSpec, EnvironmentName
from starlake_dagster_assets.airflow.render.source import Raw
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.errors import ProjectError, closest_match
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.secret_names import is_secret_name

__all__ = ["TAG", "Imported", "arguments_of", "secret_names", "shared_arguments", "with_imports"]

TAG = "airflow."
"""Prefix of the tags that name an argument."""

_REFERENCE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_IMPORTED = ("executor_config",)
_SUFFIX = "_callback"
_OWN = frozenset(
    {
        *("task_id", "task_group", "dag", "default_args", "inlets", "outlets", "owner", "doc_md", "trigger_rule"),
        *("pre_execute", "post_execute", "upstream", "downstream", "start_date", "end_date", "params"),
        *("bash_command", "env", "append_env", "env_vars", "arguments", "overrides", "job", "python_callable"),
    }
)
"""Arguments that the export itself writes, so that tags and translators must not set them."""


class Imported(str):
    """Reference to an object of a module, as `package.module:name`."""

    __slots__ = ()


def arguments_of(
    node: Node, given: Mapping[str, Any], pool: str | None, environment: EnvironmentName, root: Path
) -> dict[str, Any]:
    """Returns the operator arguments of a node: those of its tags, overridden by those of a translator.

    Args:
        node: The table or task.
        given: The arguments of a translator.
        pool: The pool that all tasks which write a DuckDB file share; None for other warehouses.
        environment: Environment of the command, which decides the operator.
        root: Directory of the project, whose files set the tags.

    Raises:
        ProjectError: An argument is one that the export writes or that the operator does not have, or its value is not
            one that Airflow takes or cannot be written into a file.
    """
    found: dict[str, Any] = {}
    for tag in node.tags:
        name, equals, value = tag.partition("=")
        if equals and name.strip().startswith(TAG):
            found[name.strip().removeprefix(TAG)] = _parsed(value.strip())
    found |= given
    problems = [
        f"{_origin(node, name, given, root)}: {node.id}: Airflow argument {text}"
        for name, value in found.items()
        for text in (*_problems(name, value, environment), *_problems_of_pool(name, value, pool))
    ]
    if problems:
        raise ProjectError(problems)
    return {name: _value(name, value) for name, value in found.items()}


def _origin(node: Node, name: str, given: Mapping[str, Any], root: Path) -> str:
    """Returns the file and the line of the tag that sets an argument, or the translator's method that returned it."""
    if name in given:
        return "get_airflow_arguments"
    try:
        lines = (root / node.location.file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    first = node.location.line or 1
    tag = re.compile(rf"{re.escape(TAG + name)}\s*=")
    numbers = (number for number, line in enumerate(lines, 1) if number >= first and tag.search(line))
    return str(node.location.model_copy(update={"line": next(numbers, node.location.line)}))


def shared_arguments(task: str, arguments: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Returns the arguments of a task that materializes several nodes.

    Args:
        task: Id of the task.
        arguments: Arguments by node id.

    Raises:
        ProjectError: The arguments of two nodes differ.
    """
    nodes = [*arguments]
    different = next((node for node in nodes if arguments[node] != arguments[nodes[0]]), None)
    if different is not None:
        raise ProjectError(
            [
                f"{task}: loads {nodes[0]} and {different}, whose Airflow arguments differ. Next: give all tables of "
                "the domain the same ones, or leave out granularity=batch."
            ]
        )
    return arguments[nodes[0]]


def with_imports(dag: DagSpec, reserved: Iterable[str]) -> tuple[DagSpec, list[str]]:
    """Replaces references to objects in the arguments of a DAG with Python names; returns the DAG and the imports.

    Args:
        dag: The DAG.
        reserved: Python names that the file of the DAG already uses.
    """
    shared = {name: _value(name, value) for name, value in dag.default_args.items()}
    used, names = {*reserved}, dict[str, str]()
    lines: list[str] = []
    found = {one for value in (shared, *(task.arguments for task in dag.tasks)) for one in _imported(value)}
    if not found:
        return dag, []
    for reference in sorted(found):
        module, _, name = reference.partition(":")
        alias, number = name, 2
        while alias in used:
            alias, number = f"{name}_{number}", number + 1
        used.add(alias)
        names[reference] = alias
        lines.append(f"from {module} import {name}" + (f" as {alias}" if alias != name else ""))
    tasks = tuple(replace(task, arguments=_named(task.arguments, names)) for task in dag.tasks)
    return replace(dag, default_args=_named(shared, names), tasks=tasks), lines


def _named(value: Any, names: Mapping[str, str]) -> Any:
    found: Any = value
    if isinstance(value, Imported):
        found = Raw(names[value])
    elif isinstance(value, Mapping):
        found = {key: _named(one, names) for key, one in cast("Mapping[Any, Any]", value).items()}
    elif isinstance(value, (list, tuple)):
        found = [_named(one, names) for one in cast("Sequence[Any]", value)]
    return found


def _parsed(text: str) -> Any:
    """Parses the value of a tag as JSON; returns other values as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str) and (name in _IMPORTED or name.endswith(_SUFFIX)) and _REFERENCE.fullmatch(value):
        return Imported(value)
    found: Any = value
    if isinstance(value, list) and name.endswith(_SUFFIX):
        found = [_value(name, one) for one in _listed(found)]
    return to_airflow_value(name, found)


def _problems_of_pool(name: str, value: Any, pool: str | None) -> Iterator[str]:
    if name == "pool" and pool not in (None, value):
        yield f"pool={value!r}: all tasks that write a DuckDB file share the pool {pool}. Next: remove it."


def _problems(name: str, value: Any, environment: EnvironmentName) -> Iterator[str]:
    if not name.isidentifier() or not name.isascii():
        yield f"`{name}`: expected a name such as pool, queue or executor_config."
    elif name in _OWN:
        yield f"{name}: the export writes it itself; leave it out."
    elif secret := next(secret_names({name: value}), None):
        yield (
            f"`{secret}` looks like a secret, which would be written into the Airflow files. Next: take it from a "
            "connection, a variable or the secrets backend of Airflow."
        )
    elif name.endswith(_SUFFIX) and not all(map(_is_reference, _listed(value))):
        yield f"{name}={value!r}: expected a function of a module on the workers, as `package.module:name`."
    elif not _is_plain(value):
        yield (
            f"{name}={value!r}: expected a text, number, duration, list or mapping; an object of a module on the "
            "workers, as `package.module:name`, only for executor_config and callbacks."
        )
    elif problem := argument_problem(name, value):
        yield problem
    else:
        yield from _problems_of_name(name, environment)


def _problems_of_name(name: str, environment: EnvironmentName) -> Iterator[str]:
    """Yields a problem if the operator of an environment does not have an argument."""
    renderer = get_environment(environment).operator_renderer()
    known = BASE_ARGUMENTS | frozenset(renderer.operator_arguments)
    if renderer.operator and name not in known:
        near = closest_match(name, known)
        advice = f"did you mean `{near}`?" if near else "Next: correct its name, or remove it."
        yield f"`{name}` is not an argument of {renderer.operator}{'; ' if near else '. '}{advice}"


def secret_names(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of values that look like secrets, also of nested ones; a template of Airflow is not a secret.

    Args:
        values: Values by name.
    """
    is_item = values.keys() >= {"name", "value"}  # of a list of variables
    named = {values["name"]: values["value"]} if is_item else {}
    for name, value in {**values, **named}.items():
        nested = _listed(value)
        if is_secret_name(str(name)) and any(isinstance(one, str) and one and "{{" not in one for one in nested):
            yield str(name)
        for one in nested:
            if isinstance(one, Mapping):
                yield from secret_names(cast("Mapping[str, Any]", one))


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return all(isinstance(key, str) and _is_plain(one) for key, one in items)
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, cast("Sequence[Any]", value)))
    return value is None or (isinstance(value, (str, bool, int, float, timedelta)) and not isinstance(value, Raw))


def _imported(value: Any) -> Iterator[str]:
    if isinstance(value, Imported):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[Any, Any]", value).values():
            yield from _imported(one)
    elif isinstance(value, (list, tuple)):
        for one in cast("Sequence[Any]", value):
            yield from _imported(one)
