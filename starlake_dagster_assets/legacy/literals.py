"""Reader of the literals of a DAG file into a `DagContext`; unexpected shapes are reported by their path."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.errors import ProjectError, closest_match
from starlake_dagster_assets.legacy.dag_file_model import DagContext, DagNode, DagSchedule, DagTable
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.resolve.schedules import PRESETS, cron_of

__all__ = ["read_dag_context"]


def read_dag_context(
    name: str,
    *,
    schedules: Any = None,
    dependencies: Any = None,
    options: Mapping[str, Any] | None = None,
    jobs: Mapping[str, Any] | None = None,
    cron: str | None = None,
    description: str | None = None,
    environment: str | None = None,
    file: str = "",
    line: int | None = None,
) -> DagContext:
    """Reads the literals of a DAG file, in the shapes of all versions of the generator.

    Args:
        name: Name of the file, without its suffix.
        schedules: `schedules`: a list, or its JSON.
        dependencies: `task_deps`, `dependencies`: a list, or its JSON.
        options: `options`.
        jobs: `jobs`: `{"domain.task": {"options": "k=v,k=v"}}`.
        cron: `cron`; the text `None` stands for no cron.
        description: `description`.
        environment: `execution_environment`, or a `template`, whose name contains it.
        file: Path of the file, for messages.
        line: Line of the literal, for messages.

    Returns:
        The contents of the file.

    Raises:
        ProjectError: For literals that have another shape: each by its path, what was found and what was expected.
    """
    reader = _Reader(DagContext(name, file, line))
    options, jobs = reader.mapping("options", options), reader.mapping("jobs", jobs)
    found = DagContext(
        name=name,
        file=file,
        line=line,
        schedules=reader.schedules(schedules),
        roots=reader.roots(dependencies),
        nodes=MappingProxyType(reader.nodes),
        options=MappingProxyType({key: _text(value) for key, value in _options(options).items()}),
        task_options=MappingProxyType(reader.task_options({**_task_entries(options), **jobs})),
        cron=reader.cron("cron", cron),
        description=description or None,
        environment=reader.environment(environment),
    )
    if reader.problems:
        raise ProjectError(reader.problems)
    return found


# ------------------------------------------------------------------------------------------------ shapes


def _text_or_none(value: Any) -> Any:
    """Returns a value unchanged; None for the texts that the templates write instead of a missing value."""
    return None if isinstance(value, str) and value.strip() in ("", "None") else value


def _named(value: Any) -> Any:
    """Returns an item as a mapping; a plain name becomes an item that has only a name."""
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    """Returns a list; sets are sorted by name, since their order differs between processes."""
    return sorted(cast("Iterable[str]", value)) if isinstance(value, (set, frozenset)) else value


_Text = Annotated[str | None, BeforeValidator(_text_or_none)]
_Name = Annotated[str, BeforeValidator(_text_or_none), Field(min_length=1)]
_FINAL = AliasChoices("final_name", "finalName")


class _Shape(BaseModel):
    """Part of a literal; fields that other versions of the generator add are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Table(_Shape):
    name: _Name
    final_name: _Text = Field(default=None, validation_alias=_FINAL)


class _Domain(_Shape):
    name: _Name
    final_name: _Text = Field(default=None, validation_alias=_FINAL)
    tables: Annotated[list[Annotated[_Table, BeforeValidator(_named)]], BeforeValidator(_listed)]


class _Schedule(_Shape):
    schedule: _Text = Field(default=None, validation_alias=AliasChoices("schedule", "name"))
    cron: _Text = None
    domains: list[_Domain]


class _Data(_Shape):
    name: Annotated[_Name, Field(pattern=r"^[^.]+(\.[^.]+)+$")]
    typ: Literal["task", "table"] | None = None
    sink: _Text = None
    cron: _Text = None
    freshness: Annotated[float | None, BeforeValidator(_text_or_none)] = None


class _Item(_Shape):
    data: _Data
    children: list[Any] = Field(default_factory=list)
    task: bool | None = None


# ------------------------------------------------------------------------------------------------ reading


class _Reader:
    """Reader of literals, which collects the problems."""

    def __init__(self, context: DagContext) -> None:
        self._context = context
        self.problems: list[Problem] = []
        self.nodes: dict[tuple[str, str], DagNode] = {}

    def schedules(self, literal: Any) -> tuple[DagSchedule, ...]:
        """Returns the items of `schedules`."""
        items = [
            self._shaped(_Schedule, f"schedules[{index}]", item)
            for index, item in enumerate(self._items("schedules", literal))
        ]
        return tuple(self._schedule(f"schedules[{index}]", item) for index, item in enumerate(items) if item)

    def _schedule(self, path: str, item: _Schedule) -> DagSchedule:
        tables = tuple(
            DagTable(
                domain.name,
                table.name,
                domain.final_name,
                table.final_name,
                f"{path}.domains[{outer}].tables[{inner}]",
            )
            for outer, domain in enumerate(item.domains)
            for inner, table in enumerate(domain.tables)
        )
        return DagSchedule(item.schedule, self.cron(f"{path}.cron", item.cron), tables)

    def roots(self, literal: Any) -> tuple[tuple[str, str], ...]:
        """Returns the keys of the tasks that the file runs; `nodes` holds the trees below."""
        items = self._items("dependencies", literal)
        roots = [self._node(f"dependencies[{index}]", item) for index, item in enumerate(items)]
        stack = [one for one in reversed(roots) if one]
        while stack:  # trees repeat what is shared and can be deep: no recursion
            node, children = stack.pop()
            below = [self._node(f"{node.path}.children[{index}]", child) for index, child in enumerate(children)]
            self._keep(node, [child.key for child, _ in filter(None, below)])
            stack += [one for one in reversed(below) if one]
        for root in filter(None, roots):
            if root[0].kind != "task":
                text = f"{root[0].name} is a table, expected a task that the file runs."
                self.wrong(f"{root[0].path}.data.typ", text)
        return tuple(dict.fromkeys(root[0].key for root in roots if root))

    def _node(self, path: str, literal: Any) -> tuple[DagNode, Sequence[Any]] | None:
        item = self._shaped(_Item, path, literal)
        if item is None:
            return None
        data = item.data
        kind = data.typ or ("task" if item.task else "table")
        cron = self.cron(f"{path}.data.cron", data.cron)
        return DagNode(data.name, kind, data.sink or data.name, cron, data.freshness or 0, path=path), item.children

    def _keep(self, node: DagNode, reads: Sequence[tuple[str, str]]) -> None:
        """Adds a node, or merges it with its previous occurrences."""
        first = self.nodes.get(node.key, node)
        if first.cron and node.cron and first.cron != node.cron:
            self.wrong(f"{node.path}.data.cron", f"found `{node.cron}`, but {first.path} has `{first.cron}`.")
        self.nodes[node.key] = first.with_more(replace(node, reads=tuple(reads)))

    def task_options(self, literal: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
        """Returns the variables of single transforms, by task name."""
        found: dict[str, Mapping[str, str]] = {}
        for name, value in literal.items():
            variables: Any = cast("Mapping[str, Any]", value).get("options") if isinstance(value, Mapping) else value
            pairs = (
                cast("Mapping[str, Any]", variables) if isinstance(variables, Mapping) else self._pairs(name, variables)
            )
            found[name] = MappingProxyType({str(key): _text(one) for key, one in pairs.items()})
        return found

    def _pairs(self, name: str, value: Any) -> Mapping[str, str]:
        path = f"jobs['{name}'].options"
        if not isinstance(value, str):
            self.wrong(path, f"found {_shown(value)}, expected a text such as `key=value,key=value`.")
            return {}
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        for key, equals, _ in pairs:
            if not equals:
                self.wrong(path, f"found `{key.strip()}`, expected key=value.")
        return {key.strip(): text.strip() for key, equals, text in pairs if equals}

    def cron(self, path: str, value: Any) -> str | None:
        """Returns a cron expression of five fields; None if there is none."""
        try:
            return cron_of(_text_or_none(value), PRESETS)
        except (ValueError, AttributeError) as error:
            self.wrong(path, str(error) if isinstance(value, str) else f"found {_shown(value)}, expected a cron.")
            return None

    def environment(self, value: str | None) -> str | None:
        """Returns the environment in the text of an enum or the name of a template; None if there is none."""
        if not value:
            return None
        name = value.removesuffix(".py.j2").rsplit("__", 1)[-1].rsplit(".", 1)[-1].lower()
        name = "shell" if name == "bash" else name
        known = sorted(one.name for one in execution_environments().values() if one.runs_program)
        if name in known:
            return name
        self.wrong("execution_environment", f"found `{value}`, expected one of {', '.join(known)}.")
        return None

    def wrong(self, path: str, message: str, hint: str = "") -> None:
        """Records a problem."""
        self.problems.append(self._context.problem(path, message, hint))

    def mapping(self, path: str, literal: Any) -> Mapping[str, Any]:
        """Returns a dictionary with text keys; empty for None."""
        if literal is None:
            return {}
        if isinstance(literal, Mapping):
            return {str(key): value for key, value in cast("Mapping[Any, Any]", literal).items()}
        self.wrong(path, f"found {_shown(literal)}, expected a dictionary.")
        return {}

    def _items(self, path: str, literal: Any) -> Sequence[Any]:
        if isinstance(literal, str) and literal.strip():
            try:
                literal = json.loads(literal)
            except (ValueError, RecursionError) as error:
                self.wrong(path, f"found a text that is not JSON ({error}).")
                return ()
        if literal is None or literal == "":
            return ()
        if not isinstance(literal, (list, tuple)):
            self.wrong(path, f"found {_shown(literal)}, expected a list.")
            return ()
        return cast("Sequence[Any]", literal)

    def _shaped(self, shape: type[Any], path: str, literal: Any) -> Any:
        try:
            return shape.model_validate(literal)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False):
                self._misshapen(path, item)
            return None

    def _misshapen(self, path: str, error: Any) -> None:
        for part in error["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
        found = error["input"]
        if error["type"] != "missing":
            expected = error["msg"].removeprefix("Input should be ").removeprefix("String should ")
            expected = "<domain>.<name>" if error["type"] == "string_pattern_mismatch" else expected
            expected = "a dictionary" if error["type"] == "model_type" else expected
            self.wrong(path, f"found {_shown(found)}, expected {expected}.")
            return
        keys = sorted(str(key) for key in cast("Mapping[Any, Any]", found))
        close = closest_match(str(error["loc"][-1]), keys)
        hint = f"Did you mean `{close}`?" if close else ""
        self.wrong(path, f"is missing; found only {', '.join(keys) or 'an empty dictionary'}.", hint)


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options without those of single transforms, and without empty ones."""
    tasks = _task_entries(options)
    return {key: one for key, one in options.items() if key not in tasks and one is not None}


def _task_entries(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{"domain.task": {"options": ...}}` among the options, as the generated files merge `jobs` into them."""
    return {key: one for key, one in options.items() if "." in key and isinstance(one, Mapping)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _shown(value: Any) -> str:
    """Returns the found value as text for a message, shortened."""
    if isinstance(value, str):
        return f"the text `{value[:60]}`"
    if value is None:
        return "None"
    kinds: dict[type[Any], str] = {dict: "a dictionary", list: "a list", tuple: "a tuple", set: "a set"}
    return kinds.get(cast("type[Any]", type(value))) or f"`{value!r}`"[:80]
