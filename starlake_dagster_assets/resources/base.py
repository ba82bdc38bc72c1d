"""Base class of the Starlake resources: runs steps, and maps the option names of other tools."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

import dagster as dg
from pydantic import Field, ValidationError, field_validator

from starlake_dagster_assets import __version__
from starlake_dagster_assets._arguments import ProjectLike, command_options, project_of, variables_of
from starlake_dagster_assets._compat import register_library
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.direct_invocation import with_run
from starlake_dagster_assets.dagster_assets.results.iterator import Fetch, StarlakeEvent, StarlakeEventIterator
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.dagster_assets.steps.attempt import build_command_attempt, build_step_attempt
from starlake_dagster_assets.dagster_assets.steps.body import current_step, running_step
from starlake_dagster_assets.dagster_assets.steps.run_config import LaunchSettings, StarlakeRunConfig
from starlake_dagster_assets.errors import RunnerError, SelectionError, StarlakeError, closest_match
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.outcome import ResultPolicies, TaskOptions
from starlake_dagster_assets.graph.select import format_names, quote_selection
from starlake_dagster_assets.graph.select import select as select_nodes
from starlake_dagster_assets.resources.env_vars import (
    DESCRIPTION,
    defer_env_vars,
    defer_launch_config,
    invalid_fields,
    is_variable,
    list_union_members,
    pass_variable,
    read_text,
    resolve_env_vars,
)
from starlake_dagster_assets.resources.guarded_calls import call_resource

if TYPE_CHECKING:
    from starlake_dagster_assets.dagster_assets.steps.single_command import StarlakeCommandResult

__all__ = ["StarlakeResource"]

register_library("starlake-dagster-assets", __version__)

_Self = TypeVar("_Self", bound="StarlakeResource")


class StarlakeResource(dg.ConfigurableResource[Any]):
    """Base class of the resources that run Starlake commands. A subclass implements `runner`.

    You can set a field by its own name or by the name of its option in Starlake's DAG configurations (`option_names`).
    Lists and mappings can be JSON, and lists comma-separated text. Every field can be a `dg.EnvVar`.
    """

    option_names: ClassVar[Mapping[str, str]] = {}
    """Fields by the name of their option in Starlake's DAG configurations, such as `dataproc_region`: `region`."""

    unknown_result: Literal["fail", "warn"] = Field(
        default="fail",
        description="Result of a table or task without evidence: fail the step, or warn. It is not materialized in "
        "either case.",
    )
    failed_command: Literal["fail", "warn"] = Field(
        default="fail",
        description="A load that failed although none of its tables failed: fail the step once they are materialized, "
        "or warn.",
    )
    from_environment: dict[str, str] = Field(default_factory=dict, description=DESCRIPTION)

    _pass_variables = field_validator("*", mode="wrap")(pass_variable)

    def __init__(self, **data: Any) -> None:
        fields = defer_env_vars(type(self), _named(type(self), data))
        _validate_required(type(self), fields)
        _check_options(type(self), fields.get("options"))
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise RunnerError(f"{_title(type(self))}: {invalid_fields(error)}.") from None

    null_is_unset: ClassVar[bool] = False
    """Whether null as the value of a field, or of a key of raw configuration, means that it is not set."""
    option_variables: ClassVar[Mapping[str, str]] = {}
    """Environment variable, by field, from which Starlake's own packages read the field if no option sets it."""

    @classmethod
    def from_options(cls: type[_Self], options: Mapping[str, Any], **fields: Any) -> _Self:
        """Returns the resource that the options of a DAG configuration describe.

        Args:
            options: `options` of `dags/<name>.sl.yml`, texts. Options of other environments are
                ignored.
            fields: Other fields; they take precedence.

        Returns:
            The resource.

        Raises:
            RunnerError: When a text cannot be read as its field's type.
        """
        known = {option: value for option, value in options.items() if option in cls.option_names}
        given = {option: value for option, value in known.items() if value not in (None, "")}
        given = {option: value for option, value in given.items() if cls.option_names[option] not in fields}
        given = {option: _without_root(cls, option, value, fields) for option, value in given.items()}
        named = {*fields, *(cls.option_names[option] for option in given)}
        variables = {field: name for field, name in cls.option_variables.items() if name in os.environ}
        defaults = {field: dg.EnvVar(name) for field, name in variables.items() if field not in named}
        return cls(**defaults, **given, **fields)

    @classmethod
    def configure_at_launch(cls, **kwargs: Any) -> Any:
        """Returns a resource with the given fields; run config provides the others.

        Args:
            kwargs: Fields, as for the resource itself.
        """
        fields = defer_launch_config(cls, _named(cls, kwargs))
        return super().configure_at_launch(**fields)  # pyright: ignore[reportUnknownMemberType]

    def create_resource(self, context: dg.InitResourceContext) -> Any:
        """Returns the resource with the values of its `dg.EnvVar` fields.

        Raises:
            RunnerError: When a variable is not set, or its value is not valid for the field.
        """
        return resolve_env_vars(self)

    def runner(self, project: ProjectSource, attempt: StepAttempt | None = None) -> Runner:
        """Returns the runner of a project.

        Args:
            project: The project whose commands are run.
            attempt: The attempt that requests commands, if it is a step of a Dagster run.

        Returns:
            A runner.

        Raises:
            RunnerError: When the environment is not available.
        """
        raise RunnerError("This resource has no execution environment: override runner(project, attempt).")

    def validate_against(self, project: ProjectSource) -> None:
        """Validates, against the project, the fields that are known when definitions are built; calls no service.

        Args:
            project: The project whose commands will run.

        Raises:
            RunnerError: When a field is not valid.
        """

    def _runner(self, project: ProjectSource, attempt: StepAttempt) -> Runner:
        """Returns the runner of a step or an op.

        Raises:
            dg.Failure: When it cannot be opened, so that failure hooks and sensors see the reason.
        """
        try:
            return call_resource(self, "runner", project, attempt)
        except RunnerError as error:
            raise dg.Failure(f"Nothing was run: {error}") from error

    def policies(self) -> ResultPolicies:
        """Returns the policies of a step for unknown results and failed commands."""
        return ResultPolicies(self.unknown_result, self.failed_command)

    def sensors(self, resource_key: str = "starlake", *, prefix: str = "") -> Sequence[dg.SensorDefinition]:
        """Returns sensors that the environment needs, such as one that deletes orphaned clusters; none by default.

        Args:
            resource_key: Key of this resource in the definitions.
            prefix: Prefix of their names.
        """
        return ()

    def single_writer(self, project: ProjectSource) -> bool:
        """Whether steps must run one at a time, as with a DuckDB file; False by default."""
        return False

    def pool(self, project: ProjectSource) -> str | None:
        """Returns the concurrency pool of the steps, if two runs must not write at the same time; none by default."""
        return None

    def run(
        self,
        context: dg.AssetExecutionContext,
        *,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        options: TaskOptions | None = None,
        config: StarlakeRunConfig | None = None,
    ) -> StarlakeEventIterator:
        """Runs the selected assets of the step; use it as `yield from starlake.run(context)`.

        A body may call it several times, each time with its own `select`. Assets that earlier runs of a re-execution
        materialized are not run again.

        Args:
            context: Context of the step of a function decorated with `starlake_assets`.
            select: Tables and tasks of the step in the selection grammar; all by default.
            exclude: Tables and tasks that are left out.
            options: Variables of transforms (`--options`), or a function of the node: no commas in their values.
            config: Run config of this launch; that of the function's `StarlakeRunConfig` parameter by default.

        Returns:
            The events, one per table once its result is known; chain `fetch_row_counts()`, `fetch_column_metadata()`
            and `fetch_preview()`.

        Raises:
            StarlakeError: Outside such a function.
            TypeError: When `options` is not a mapping of names to texts.
            SelectionError: When the selection is not valid, or names no table and no task of the step.
        """
        step, context = current_step(), with_run(context)
        nodes = _nodes(step.binding, select, exclude)
        given = options if callable(options) else variables_of(options, "starlake.run(context)")
        call = step.call(nodes, given, None if config is None else LaunchSettings.of(config))

        def start(fetch: Fetch) -> Iterator[StarlakeEvent]:
            # a code location defines steps and runs none
            from starlake_dagster_assets.dagster_assets.steps.execute import run_step

            call.started = True
            call.runner = self._runner(step.binding.source, build_step_attempt(context))
            yield from run_step(context, step, call, call.runner, fetch, call_resource(self, "policies"))
            call.ended = True

        return StarlakeEventIterator(start)

    def command(
        self,
        args: Sequence[str],
        *,
        context: dg.OpExecutionContext | dg.AssetExecutionContext | None = None,
        project: ProjectLike | None = None,
        raise_on_error: bool = True,
    ) -> "StarlakeCommandResult":
        """Runs one Starlake command to its end, from an op, an asset or the body of a step.

        Its output is in the compute log. Canceling the run cancels the command. It reports no results for assets.

        Args:
            args: The command and its arguments, such as `["transform", "--name", "kpi.revenue"]`.
            context: Context of the op or asset, whose log also shows markers and warnings.
            project: The project, or its path; by default that of the surrounding `starlake_assets` function.
            raise_on_error: Whether a command that fails raises.

        Returns:
            Exit code, output, audit rows and duration.

        Raises:
            dg.Failure: When the command fails, with the first error of the program.
            CommandError: When `args` is not a list of texts.
            StarlakeError: When no project is given outside such a function.

        Examples:
            ::

                @dg.op
                def refresh(context: dg.OpExecutionContext, starlake: StarlakeResource):
                    starlake.command(["transform", "--name", "kpi.revenue"], context=context, project="sales")
        """
        from starlake_dagster_assets.dagster_assets.steps.single_command import build_command, failure_of, run_command

        step = running_step()
        if project is None and step is None:
            raise StarlakeError("starlake.command: no project; outside of @starlake_assets functions pass `project=`.")
        source = step.binding.source if project is None and step else project_of(project, "starlake.command")
        if step is not None:
            step.close_warehouse()
        attempt = build_command_attempt(context)
        log = context.log if context is not None else dg.get_dagster_logger("starlake")
        result = run_command(build_command(args, source, attempt), self._runner(source, attempt), log)
        if result.error and raise_on_error:
            raise failure_of(result)
        return result


def _nodes(
    binding: StepBinding, select: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> frozenset[str]:
    """Returns the ids of the nodes of a step that a selection names.

    Raises:
        SelectionError: When there is none.
    """
    mine = frozenset(node.id for node in binding.nodes.values())
    if select is None and exclude is None:
        return mine
    found = mine & frozenset(select_nodes(binding.source.graph, "*" if select is None else select, exclude))
    if not found:
        raise SelectionError(
            f"starlake.run(context): the selection {quote_selection(select, exclude)} "
            "names no table and no task of this step. "
            f"The step has: {format_names(mine)}."
        )
    return found


def _without_root(cls: type[StarlakeResource], option: str, value: Any, fields: Mapping[str, Any]) -> Any:
    """Removes `SL_ROOT` from the variables of an option if `root`, or the directory of the project, replaces it."""
    field = cls.option_names[option]
    if field != "env" or ("root" in cls.model_fields and "root" not in fields):
        return value
    found = _read(cls, field, value)
    pairs: Mapping[str, Any] = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
    return {name: one for name, one in pairs.items() if name != "SL_ROOT"} if "SL_ROOT" in pairs else value


def _named(cls: type[StarlakeResource], data: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces option names with the names of their fields.

    Raises:
        RunnerError: A name is unknown, or one field is given by two names with different values.
    """
    title = _title(cls)
    fields = {name: value for name, value in data.items() if name in cls.model_fields}
    named = {name: name for name in fields}
    for name in sorted(data.keys() - fields.keys()):
        field = cls.option_names.get(name)
        if field is None:
            near = closest_match(name, [*cls.model_fields, *cls.option_names])
            hint = f"; did you mean `{near}`?" if near else f". It has: {', '.join(sorted(cls.model_fields))}."
            raise RunnerError(f"{title} has no option `{name}`{hint}")
        if field in fields and _read(cls, field, fields[field]) != _read(cls, field, data[name]):
            raise RunnerError(f"{title}: `{named[field]}` and `{name}` have different values; keep one.")
        if "." not in field:
            fields[field], named[field] = data[name], name
            continue
        whole, _, part = field.partition(".")
        below: Any = fields.get(whole)
        if below is not None and not isinstance(below, dict):
            raise RunnerError(f"{title}: `{name}` and `{whole}` set the same option; keep one.")
        inner = next(
            one for one in list_union_members(cls.model_fields[whole].annotation) if hasattr(one, "model_fields")
        )
        fields[whole] = {**(below or {}), part: _read(inner, part, data[name])}
    given = {name: value for name, value in fields.items() if value is not None or not cls.null_is_unset}
    return {name: _keep_from_variables(cls, name, _read(cls, name, value)) for name, value in given.items()}


def _keep_from_variables(cls: type[StarlakeResource], path: str, value: Any) -> Any:
    """Changes mappings whose only key is `env`, which Dagster would interpret as an `EnvVar`, and returns the value.

    Raises:
        RunnerError: When there is one, and a key without a value next to it would change its meaning.
    """
    if isinstance(value, list):
        items = enumerate(cast("list[object]", value))
        return [_keep_from_variables(cls, f"{path}[{number}]", item) for number, item in items]
    if not isinstance(value, Mapping):
        return value
    pairs = cast("Mapping[str, object]", value)
    kept = {key: _keep_from_variables(cls, f"{path}.{key}", item) for key, item in pairs.items()}
    if [*kept] != ["env"] or isinstance(kept["env"], str) or is_variable(kept["env"]):
        return kept
    if cls.null_is_unset:
        return {**kept, "name": None}
    raise RunnerError(
        f"{_title(cls)}: `{path}.env` is the only key of its mapping, and Dagster takes such a mapping for an "
        "environment variable. Next: set another key next to it, or give text."
    )


def _validate_required(cls: type[StarlakeResource], fields: Mapping[str, Any]) -> None:
    """Raises an error if a required field is missing.

    Raises:
        RunnerError: Names the fields, and describes them.
    """
    required = {name: field for name, field in cls.model_fields.items() if field.is_required()}
    missing = [
        f"`{name}` is missing: {(field.description or 'it is required').rstrip('.')}"
        for name, field in required.items()
        if fields.get(name) in (None, "", [])
    ]
    if missing:
        raise RunnerError(f"{_title(cls)}: {'; '.join(missing)}.")


def _check_options(cls: type[Any], options: object) -> None:
    """Rejects options that cannot be passed as `--options`; `EnvVar`s are checked at run time."""
    if isinstance(options, Mapping):
        given = cast("Mapping[object, object]", options)
        texts = {name: value for name, value in given.items() if type(name) is type(value) is str}
        command_options(texts, f"{_title(cls)}(options=…)")


def _title(cls: type[Any]) -> str:
    return cls.__name__


def _read(cls: type[Any], field: str, value: Any) -> Any:
    """Returns the value of a field, parsed if it is the text of a list or mapping."""
    return read_text(cls, field, value) if isinstance(value, str) and not is_variable(value) else value
