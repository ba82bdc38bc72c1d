"""A Starlake project as a Dagster component: YAML in the `defs` folder of a `dg` project."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import dagster as dg
from pydantic import BaseModel, Field

from starlake_dagster_assets._compat import has_components

if not has_components():  # its base class is not there
    raise ImportError(
        f"StarlakeProjectComponent needs the components of a newer Dagster than {dg.__version__}; "
        "build_definitions builds the same definitions here."
    )

from dagster.components import DefsStateConfig, DefsStateConfigArgs, ResolvedDefsStateConfig
from dagster.components.component_scaffolding import scaffold_component
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
from starlake_dagster_assets.component.attributes import (
    automation_type,
    environment_type,
    former_attributes,
    metadata_attribute,
    metadata_type,
    resolve_automation,
    resolve_environment,
    resolve_environments,
    resolve_steps,
    steps_type,
)
from starlake_dagster_assets.dagster_assets.build_options import FORMER_METADATA, StarlakeMetadata, StarlakeSteps
from starlake_dagster_assets.dagster_assets.decorator import default_name, materialize
from starlake_dagster_assets.dagster_assets.results.iterator import StarlakeEvent
from starlake_dagster_assets.dagster_assets.specs.translator import External, StarlakeTranslator
from starlake_dagster_assets.dagster_assets.steps.grouping import StepSplit
from starlake_dagster_assets.definitions import build_definitions
from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.resources import StarlakeDuckDB, StarlakeResource
from starlake_dagster_assets.starlake_project import StarlakeProject

__all__ = ["ComponentTranslator", "StarlakeProjectComponent", "StarlakeProjectScaffolder"]


if TYPE_CHECKING:
    _Automation = StarlakeAutomation
else:
    _Automation = Any  # Dagster validates the fields of pydantic models, also of those that a resolver builds


class StarlakeProjectParams(BaseModel):
    """Parameters of `dg scaffold defs starlake_dagster_assets.StarlakeProjectComponent`."""

    project: str | None = Field(default=None, description="The Starlake project: the directory that holds metadata/.")
    env: str | None = Field(default=None, description="Its environment: env.<NAME>.sl.yml.")


class StarlakeProjectScaffolder(dg.Scaffolder[StarlakeProjectParams]):
    """Scaffolder that writes the `defs.yaml` of a project."""

    @classmethod
    def get_scaffold_params(cls) -> type[StarlakeProjectParams]:
        """Returns the model of the command's options."""
        return StarlakeProjectParams

    def scaffold(self, request: dg.ScaffoldRequest[StarlakeProjectParams]) -> None:
        """Writes `defs.yaml`; the path of a Starlake project inside the Dagster project is relative to its root."""
        asked = Path(request.params.project or "starlake").absolute()
        root = request.project_root.absolute() if request.project_root else None
        below = root is not None and asked.is_relative_to(root)
        where = (
            f"{{{{ context.project_root }}}}/{asked.relative_to(cast('Path', root)).as_posix()}"
            if below
            else str(asked)
        )
        attributes: dict[str, Any] = {"project": where}
        attributes |= {"env": request.params.env} if request.params.env else {}
        scaffold_component(request, {**attributes, "starlake": {"type": "duckdb"}})


def _directory(context: dg.ResolutionContext, value: str) -> Path:
    """Resolves a path; a relative path is relative to the directory of the YAML file."""
    return context.resolve_source_relative_path(cast("Any", context).resolve_value(value, as_type=str))


@dg.scaffold_with(StarlakeProjectScaffolder)
@dataclass
class StarlakeProjectComponent(dg.StateBackedComponent, dg.Resolvable):
    """A Starlake project: every table and transform as an asset, with its checks, and the resource that runs them.

    The state is the parsed project, without its secrets: a deployed code location loads from it and parses nothing. It
    is written by `dg utils refresh-defs-state` when an image is built, and automatically under `dg dev`.
    """

    project: Annotated[
        Path,
        dg.Resolver(
            _directory,
            model_field_type=str,
            description="The Starlake project: the directory that holds metadata/, from this file or absolute.",
            examples=["{{ context.project_root }}/starbake"],
        ),
    ]
    env: Annotated[str | None, dg.Resolver.default(description="The environment: env.<NAME>.sl.yml.")] = None
    select: Annotated[
        str | list[str] | None,
        dg.Resolver.default(description="Tables and tasks, in the selection grammar.", examples=["domain:sales"]),
    ] = None
    exclude: Annotated[
        str | list[str] | None, dg.Resolver.default(description="Tables and tasks that are left out.")
    ] = None
    starlake: Annotated[
        StarlakeResource,
        dg.Resolver(
            resolve_environment,
            model_field_type=environment_type(),
            description=f"Where commands run: {', '.join(execution_environments())}; and the fields of that resource.",
            examples=[{"type": "shell", "starlake": "/opt/starlake/starlake"}],
        ),
    ] = field(default_factory=StarlakeDuckDB)
    environments: Annotated[
        dict[str, StarlakeResource],
        dg.Resolver(
            resolve_environments,
            model_field_type=dict[str, environment_type()],
            description="Where the commands of some tables and tasks run instead, by selection.",
            examples=[{"domain:logs": {"type": "shell"}}],
        ),
    ] = field(default_factory=dict[str, StarlakeResource])
    translation: Annotated[
        TranslationFn[Node] | None,
        TranslationFnResolver[Node](template_vars_for_translation_fn=lambda node: {"node": node}),
    ] = None
    automation: Annotated[
        _Automation,
        dg.Resolver(
            resolve_automation,
            model_field_type=automation_type(),
            description="Triggers of the assets: crons, files, upstreams; see StarlakeAutomation.",
            examples=[{"pre_load": "imported", "jobs": {"retries": 2}, "status": "RUNNING"}],
        ),
    ] = field(default_factory=StarlakeAutomation)
    steps: Annotated[
        StarlakeSteps | StepSplit,
        dg.Resolver(
            resolve_steps,
            model_field_type=steps_type(),
            description="Number of steps of a run: auto, project, group or task. Or a mapping of split, pool and "
            "op_tags, see StarlakeSteps.",
            examples=["group", {"split": "group", "pool": "warehouse"}],
        ),
    ] = "auto"
    options: Annotated[
        dict[str, str], dg.Resolver.default(description="Variables of the project, as --options of the command line.")
    ] = field(default_factory=dict[str, str])
    external: Annotated[
        External,
        dg.Resolver.default(
            description="How incoming files and external tables appear in the graph. dependencies: keys that other "
            "assets may define; specs: external assets; without_files: dependencies on external tables only."
        ),
    ] = "dependencies"
    name: Annotated[
        str | None,
        dg.Resolver.default(
            description="Of the step and of the resource; starlake_<directory> by default, followed by the selection "
            "where there is one."
        ),
    ] = None
    metadata: Annotated[
        StarlakeMetadata,
        dg.Resolver(
            metadata_attribute,
            model_field_type=metadata_type(),
            description="Metadata that is read from the warehouse after each load and transform, see StarlakeMetadata.",
            examples=[{"preview": 5}],
        ),
    ] = field(default_factory=StarlakeMetadata)
    row_counts: Annotated[bool | None, dg.Resolver.default(description="Deprecated: use metadata.")] = None
    columns: Annotated[bool | None, dg.Resolver.default(description="Deprecated: use metadata.")] = None
    preview: Annotated[int | None, dg.Resolver.default(description="Deprecated: use metadata.")] = None
    samples: Annotated[int | None, dg.Resolver.default(description="Deprecated: use metadata.")] = None
    pool: Annotated[str | None, dg.Resolver.default(description="Deprecated: use steps.")] = None
    defs_state: ResolvedDefsStateConfig = field(default_factory=DefsStateConfigArgs.local_filesystem)

    def __post_init__(self) -> None:
        former = {name: getattr(self, name) for name in (*FORMER_METADATA, "pool")}
        metadata, steps = former_attributes(
            {name: value for name, value in former.items() if value is not None}, self.metadata, self.steps
        )
        self.metadata, self._steps = metadata, steps
        self.row_counts, self.columns = metadata.row_counts, metadata.columns  # for subclasses that read them
        self.preview, self.samples, self.pool = metadata.preview, metadata.samples, steps.pool
        self.translator: ComponentTranslator = ComponentTranslator(self)

    # ------------------------------------------------------------------------------------------ to be overridden

    def get_asset_spec(self, node: Node) -> dg.AssetSpec:
        """Returns the spec of a table, a task, an external table or the files of a table; applies `translation`.

        Args:
            node: The node in the project.
        """
        return self.translator.translated(node)

    def execute(self, context: dg.AssetExecutionContext, starlake: StarlakeResource) -> Iterator[StarlakeEvent]:
        """Runs the selected assets of a step.

        Args:
            context: Context of the step.
            starlake: The resource of the component.

        Yields:
            Materializations (one per table written), check results and observations.
        """
        yield from materialize(context, starlake, metadata=self.metadata)

    # -------------------------------------------------------------------------------------------------- the state

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Location of the state; its key contains the project's directory and environment."""
        key = f"StarlakeProjectComponent[{self.project.name}{f':{self.env}' if self.env else ''}]"
        return DefsStateConfig.from_args(self.defs_state, default_key=key)

    def write_state_to_path(self, state_path: Path) -> None:
        """Parses the project and writes it to a file as the state.

        Raises:
            ProjectError: When the project has errors.
        """
        self._project(None).prepare(state_path)

    def build_defs_from_state(self, context: dg.ComponentLoadContext, state_path: Path | None) -> dg.Definitions:
        """Builds the definitions of the project from its state.

        Raises:
            ProjectError: When there is no state, or one of another environment, other options or another version.
        """
        if state_path is None:
            raise ProjectError([self._no_state()])
        project = self._project(state_path)
        name = self.name or default_name(project, self.select, self.exclude)
        return build_definitions(
            project,
            starlake=self.starlake,
            environments=self.environments,
            select=self.select,
            exclude=self.exclude,
            translator=self.translator,
            external=self.external,
            automation=self.automation,
            steps=replace(self._steps, name=name, execute=self.execute, resource_key=name),
        )

    def _project(self, manifest: Path | None) -> StarlakeProject:
        return StarlakeProject(self.project, env=self.env, options=self.options, manifest=manifest)

    def _no_state(self) -> str:
        config = self.defs_state_config
        return (
            f"The Starlake project {self.project} has no state ({config.key}, {config.management_type.value}), so its "
            "assets are not known. Write it where the image is built, or before the code location starts: "
            "`dg utils refresh-defs-state`; `dg dev` writes it by itself."
        )


class ComponentTranslator(StarlakeTranslator):
    """Translator that calls the component's methods, which may be overridden, and applies `translation`."""

    def __init__(self, component: StarlakeProjectComponent) -> None:
        self._component = component

    def get_asset_spec(self, node: Node) -> dg.AssetSpec:
        """Returns the spec from `get_asset_spec` of the component, which may be overridden."""
        self._component.translator = self  # the copy that knows the project
        return self._component.get_asset_spec(node)

    def translated(self, node: Node) -> dg.AssetSpec:
        """Applies `translation` to the asset spec of the project."""
        spec = super().get_asset_spec(node)
        translation = self._component.translation
        return translation(spec, node) if translation is not None else spec
