"""A stand-in for Airflow that reads a DAG file within a millisecond: what its text says, not what Airflow makes of it.

`tests/airflow/test_real.py` asks the real ones.
"""

from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment

__all__ = ["Dag", "Task", "asset", "read"]


@dataclass
class Task:
    """A task of a DAG."""

    operator: str
    given: dict[str, Any]
    upstream: list[str] = field(default_factory=list)
    doc_md: str = ""
    task_group: Any = None
    downstream_task_ids: set[str] = field(default_factory=set)

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def upstream_task_ids(self) -> Any:
        return SimpleNamespace(add=self.upstream.append)

    @property
    def id(self) -> str:
        return self.given["task_id"]

    @property
    def inlets(self) -> list[str]:
        return [asset.uri for asset in self.given.get("inlets", ())]

    @property
    def outlets(self) -> list[str]:
        return [asset.uri for asset in self.given.get("outlets", ())]

    def __rshift__(self, other: Any) -> Any:
        if isinstance(other, _Group):
            other = [*other.tasks.values()]
        for one in other if isinstance(other, list) else [other]:
            one.upstream.append(self.id)
        return other

    def __rrshift__(self, others: list[Task]) -> Task:
        self.upstream += [one.id for one in others]
        return self

    def as_teardown(self, setups: Task) -> Task:
        return self


@dataclass
class Dag:
    """A DAG: its arguments and its tasks by id."""

    given: dict[str, Any]
    tasks: dict[str, Task] = field(default_factory=dict)

    def __enter__(self) -> Dag:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def rendered(self, template: str) -> str:
        """A template as Airflow renders it in a run."""
        asked = {"starlake_path": "starlake", "starlake_root": "/root"}
        value = SimpleNamespace(**asked, get=lambda name, default=None: asked.get(name, default))
        context = {
            "params": {},
            "var": SimpleNamespace(value=value),
            "run_id": "r",
            "dag_run": SimpleNamespace(run_after=datetime(2025, 1, 1, tzinfo=timezone.utc), conf={}),
            "dag": SimpleNamespace(dag_id=self.given["dag_id"], timezone="UTC", timetable=None),
            "ti": SimpleNamespace(dag_id=self.given["dag_id"], task_id="t", map_index=-1, try_number=1),
            **self.given["user_defined_macros"],
        }
        return Environment().from_string(template).render(context)


class _Group:
    """A task group: the tasks that are made in its block; none of them depends on another one."""

    def __init__(self, dag: Dag) -> None:
        self.dag, self.tasks = dag, dict[str, Task]()

    def __enter__(self) -> _Group:
        self.before = {*self.dag.tasks}
        return self

    def __exit__(self, *_: Any) -> None:
        self.tasks = {name: one for name, one in self.dag.tasks.items() if name not in self.before}

    def __rshift__(self, other: Any) -> Any:
        for one in self.tasks.values():
            _ = one >> other
        return other

    def __rrshift__(self, others: list[Task]) -> _Group:
        for one in self.tasks.values():
            _ = others >> one
        return self


class _Condition:
    """Assets under `&` or `|`, with the names that Airflow gives to the classes."""

    def __and__(self, other: _Condition) -> _Condition:
        return AssetAll(*(self.objects if isinstance(self, AssetAll) else [self]), other)

    def __or__(self, other: _Condition) -> _Condition:
        return AssetAny(*(self.objects if isinstance(self, AssetAny) else [self]), other)


class _Joined(_Condition):
    def __init__(self, *objects: Any) -> None:
        self.objects = objects


class AssetAll(_Joined): ...


class AssetAny(_Joined): ...


@dataclass(frozen=True)
class asset(_Condition):
    uri: str


def read(path: Path) -> Dag:
    """The DAG of a file.

    Args:
        path: The file.
    """
    found: list[Dag] = []

    def dag(**given: Any) -> Dag:
        found.append(Dag(given))
        return found[-1]

    def operator(name: str) -> Any:
        class Operator(Task):
            template_fields = ()

            def __init__(self, **given: Any) -> None:
                super().__init__(name, given, task_group=found[-1].tasks.values())
                assert self.id not in found[-1].tasks
                found[-1].tasks[self.id] = self

        return Operator

    class Module:
        def __getattr__(self, name: str) -> Any:
            known = {"DAG": dag, "Asset": asset, "TaskGroup": lambda *_, **__: _Group(found[-1])}
            if name in known or name.endswith(("Operator", "Sensor")):
                return known.get(name) or operator(name)
            return lambda *args, **given: (name, args, given)

    def imported(name: str, *args: Any) -> Any:
        if name.startswith("starlake_worker"):
            module: Any = builtins.__import__(name, *args)
            module.window_params = dict
            return module
        return Module() if name.partition(".")[0] in ("airflow", "pendulum") else builtins.__import__(name, *args)

    before = [*sys.path]
    names = {"__name__": "dag", "__file__": str(path), "__builtins__": {**vars(builtins), "__import__": imported}}
    try:
        exec(compile(path.read_text(), str(path), "exec"), names)
    finally:
        sys.path[:] = before
    (only,) = found
    return only
