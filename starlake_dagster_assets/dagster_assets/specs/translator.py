"""Converts nodes of the graph to asset specs, with one overridable method per attribute."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast

import dagster as dg

from starlake_dagster_assets._arguments import instance_of
from starlake_dagster_assets._compat import has_freshness_policies, max_kinds, suppress_dagster_warnings
from starlake_dagster_assets.automation.policies.model import Job, PreLoad, Trigger, Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.dagster_assets.specs import metadata as shown
from starlake_dagster_assets.dagster_assets.specs.freshness import freshness_policy
from starlake_dagster_assets.dagster_assets.specs.mappings import partition_mapping
from starlake_dagster_assets.dagster_assets.specs.names import group_name, key_part, tags_of, validate_unique_asset_keys
from starlake_dagster_assets.dagster_assets.specs.partitions import node_partitions
from starlake_dagster_assets.dagster_assets.specs.retries import retry_policy
from starlake_dagster_assets.dagster_assets.specs.translator_settings import StarlakeTranslatorSettings
from starlake_dagster_assets.dagster_assets.specs.wording import expectation_text
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.execution.expectation_checks import RESERVED, named_expectations
from starlake_dagster_assets.graph.display_names import AssetOverrides
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.owners import owners_of
from starlake_dagster_assets.project.model.project import Project

__all__ = ["External", "StarlakeTranslator", "bound_translator"]

External = Literal["dependencies", "specs", "without_files"]
"""Whether and how incoming files and external tables appear in the asset graph."""

_Self = TypeVar("_Self", bound="StarlakeTranslator")


class StarlakeTranslator:
    """Translator from nodes to asset specs. Override the hook of one attribute, or `get_asset_spec` for all of them.

    Args:
        settings: Switches for the parts that are added to assets; `StarlakeTranslatorSettings()` by default. A subclass
            with its own `__init__` passes them on, or sets the class attribute `settings`.

    Examples:
        >>> class Mine(StarlakeTranslator):
        ...     def get_group_name(self, node: Node) -> str | None:
        ...         return "finance" if "finance" in node.tags else super().get_group_name(node)
    """

    _source: ProjectSource | None = None
    _triggers: Triggers | None = None
    _specs: dict[str, dg.AssetSpec]
    _partitions: Mapping[str, dg.PartitionsDefinition[Any]] | None = None
    _conditions: Any = None
    _external: External = "specs"
    settings: StarlakeTranslatorSettings = StarlakeTranslatorSettings()

    def __init__(self, settings: StarlakeTranslatorSettings | None = None) -> None:
        if settings is not None:
            wanted, example = StarlakeTranslatorSettings, "StarlakeTranslatorSettings(…)"
            self.settings = instance_of(settings, wanted, "StarlakeTranslator", "settings", example)

    def bound_to(self: _Self, source: ProjectSource, triggers: Triggers | None = None) -> _Self:
        """Returns a copy that is bound to a project and caches its specs; the original is unchanged.

        A translator that is already bound to the same project with the same triggers is returned itself.

        Args:
            source: The project.
            triggers: The triggers of its nodes (`build_triggers`).
        """
        if self._source is source and (triggers is None or self._is_bound_to(triggers)):
            return self
        bound = copy.copy(self)
        vars(bound).update(_source=source, _triggers=triggers, _specs={}, _partitions=None, _conditions=None)
        return bound

    def with_external(self: _Self, external: External) -> _Self:
        """Returns a copy with another setting for incoming files and external tables.

        Args:
            external: See `build_definitions`.
        """
        changed = copy.copy(self)
        vars(changed).update(_external=external, _specs={})
        return changed

    @property
    def switches(self) -> StarlakeTranslatorSettings:
        """The settings; the defaults if a subclass uses the name `settings` for something else."""
        found = cast("object", self.settings)
        return found if isinstance(found, StarlakeTranslatorSettings) else StarlakeTranslatorSettings()

    def _is_bound_to(self, triggers: Triggers) -> bool:
        """Whether the translator was bound with these triggers, or with these and others."""
        mine = self._triggers
        if mine is None or mine is triggers:
            return mine is triggers
        jobs = {name: replace(job, nodes=()) for name, job in mine.jobs.items()}
        return all(mine.triggers.get(node) == one for node, one in triggers.triggers.items()) and all(
            jobs.get(name) == replace(job, nodes=()) for name, job in triggers.jobs.items()
        )

    @property
    def source(self) -> ProjectSource:
        """The project that the translator is bound to."""
        if self._source is None:
            raise StarlakeError("The translator has no project yet: pass it to starlake_assets or build_definitions.")
        return self._source

    @property
    def project(self) -> Project:
        """The models of the project."""
        return self.source.model

    @property
    def graph(self) -> Graph:
        """The graph of the project."""
        return self.source.graph

    @property
    def triggers(self) -> Triggers | None:
        """The triggers of the nodes; None if the translator was bound without triggers."""
        return self._triggers

    @property
    def timezone(self) -> str:
        """Time zone of data cycles, as an IANA name."""
        configured = self._triggers.timezone if self._triggers is not None else None
        return configured or self.project.application.timezone or "UTC"

    def trigger(self, node: Node) -> Trigger:
        """Returns the trigger of a node; the trigger `none` if the translator was bound without triggers."""
        known = self._triggers.triggers.get(node.id) if self._triggers is not None else None
        return known or Trigger(node.id, "none", "")

    def job(self, node: Node) -> Job | None:
        """Returns the job that starts a node; None if the translator was bound without triggers."""
        return self._triggers.jobs.get(self.trigger(node).job) if self._triggers is not None else None

    def spec(self, node: Node) -> dg.AssetSpec:
        """Returns the spec of a node; `get_asset_spec` is called once per node."""
        known = self._specs.get(node.id)
        if known is None:
            known = self._specs[node.id] = self._reference(node) or self.get_asset_spec(node)
        return known

    def _reference(self, node: Node) -> dg.AssetSpec | None:
        """Returns a spec with only a key for an external node not defined here; None if the whole spec is needed."""
        if self._external == "specs" or node.kind != "external":
            return None
        if type(self).get_asset_spec is not StarlakeTranslator.get_asset_spec:
            return None  # an override may change the key
        return dg.AssetSpec(self.get_asset_key(node))

    def _has_asset(self, node: Node) -> bool:
        """Whether the asset graph contains a node."""
        return not (node.is_files and self._external == "without_files")

    def specs(self) -> Mapping[str, dg.AssetSpec]:
        """Returns the specs of the whole project by node id.

        Raises:
            ProjectError: When two nodes would become the same asset.
        """
        with suppress_dagster_warnings():
            found = {node.id: self.spec(node) for node in self.graph.upstream_first() if self._has_asset(node)}
        validate_unique_asset_keys(found, self.graph.nodes)
        return found

    def naming(self, source: ProjectSource) -> AssetOverrides:
        """Returns keys, groups and dependencies of a project's nodes without Dagster objects, for `export_airflow`.

        Raises:
            ProjectError: When two nodes would become the same asset.
        """
        from starlake_dagster_assets.dagster_assets.specs.dagster_free_translator import build_asset_overrides

        bound = self.bound_to(source)
        return build_asset_overrides(bound.graph, dict(bound.specs()), airflow=bound.airflow_arguments())

    def airflow_arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns the result of `get_airflow_arguments` for each table and task, by node id."""
        nodes = self.graph.nodes.values()
        return {node.id: self.get_airflow_arguments(node) for node in nodes if node.kind != "external"}

    # --------------------------------------------------------------------------------------------- the seam

    def get_asset_spec(self, node: Node) -> dg.AssetSpec:
        """Returns the whole spec of a node.

        Args:
            node: A table, a task, an external table, or the incoming files of a table.

        Returns:
            The spec; `skippable` unless the node is external.
        """
        external = node.kind == "external"
        kinds = sorted(self.get_kinds(node), key=_kind_rank)[: max_kinds()]
        # Dagster 1.9 has no such policies on specs: there `build_definitions` builds checks from them.
        fresh = {"freshness_policy": self.get_freshness_policy(node)} if has_freshness_policies() else {}
        with suppress_dagster_warnings():
            return dg.AssetSpec(
                key=self.get_asset_key(node),
                deps=[*self.get_deps(node), *self.get_extra_deps(node)],
                description=self.get_description(node),
                metadata=self.get_metadata(node),
                skippable=not external,
                group_name=self.get_group_name(node),
                code_version=self.get_code_version(node),
                automation_condition=None if external else self.get_automation_condition(node),
                owners=list(self.get_owners(node)),
                tags=self.get_tags(node),
                kinds=set(kinds),
                partitions_def=None if external else self.get_partitions_def(node),
                **({} if external else fresh),
            )

    # -------------------------------------------------------------------------------------------- the hooks

    def get_asset_key(self, node: Node) -> dg.AssetKey:
        """Returns the key `[schema, table]` by final names; characters that Dagster rejects are replaced."""
        return dg.AssetKey([key_part(part) for part in node.key])

    def get_deps(self, node: Node) -> Iterable[dg.AssetDep]:
        """Returns the upstream assets of a node."""
        mine = None if node.kind == "external" else self.get_partitions_def(node)
        nodes = [self.graph.nodes[up] for up in self.graph.upstream[node.id]]
        ups = [self.spec(up) for up in nodes if self._has_asset(up)]
        return [dg.AssetDep(up.key, partition_mapping=partition_mapping(mine, up.partitions_def)) for up in ups]

    def get_extra_deps(self, node: Node) -> Iterable[dg.AssetDep]:
        """Returns further dependencies of a node, which the project does not declare; none by default."""
        return ()

    def get_group_name(self, node: Node) -> str | None:
        """Returns the schema of a node as its group name."""
        return group_name(node.table.final_domain if node.is_files and node.table else node.domain)

    def get_description(self, node: Node) -> str | None:
        """Returns the description of a node: its comment, followed by its SQL."""
        return shown.describe(node, with_sql=self.switches.enable_sql_in_description)

    def get_tags(self, node: Node) -> Mapping[str, str]:
        """Returns the Starlake tags of a node as Dagster tags."""
        return tags_of(node.tags)

    def get_owners(self, node: Node) -> Sequence[str]:
        """Returns the owners of a node, from its `owner=…` tags and the e-mail addresses of its `acl`."""
        return owners_of(node)

    def get_kinds(self, node: Node) -> set[str]:
        """Returns the kinds `starlake`, warehouse, and `table`, `task` or `view`; for files `file` and their format."""
        if node.is_files and node.table is not None:
            return {"file", {"DSV": "csv", "JSON_FLAT": "json"}.get(node.table.metadata.format, "file").lower()}
        engine = shown.engine_of(node, self.project)
        if node.kind == "external":
            return {engine or "table", "table"}
        shape = "view" if node.is_view else node.kind
        return {"starlake", shape} | ({engine} if engine else set())

    def get_metadata(self, node: Node) -> Mapping[str, Any]:
        """Returns the metadata of a node: columns, names, write strategy and code references."""
        root = self.source.root if self.switches.enable_code_references else None
        return shown.definition_metadata(node, self.project, root)

    def get_code_version(self, node: Node) -> str | None:
        """Returns a hash of a node's YAML, SQL and macros; None for a node that the project does not describe."""
        thing = None if node.kind == "external" else node.definition
        return (thing.digest[:16] or None) if thing is not None else None

    def get_automation_condition(self, node: Node) -> dg.AutomationCondition[Any] | None:
        """Returns the automation condition for updates of upstreams if `triggering` is `condition`; else None."""
        if self.trigger(node).triggered_by != "condition" or self._triggers is None:
            return None
        if self._conditions is None:
            from starlake_dagster_assets.automation.definitions.conditions import ConditionScope

            vars(self).update(_conditions=ConditionScope(self, self._triggers))
        scope: Any = self._conditions
        return scope.of(node.id)

    def get_partitions_def(self, node: Node) -> dg.PartitionsDefinition[Any] | None:
        """Returns the partitions of a node, by the cron of its schedule or the column of its sink, or None."""
        if self._triggers is None:
            return None
        if self._partitions is None:  # all at once: the bad crons of a project are one error
            vars(self).update(_partitions=node_partitions(self.source, self._triggers))
        return (self._partitions or {}).get(node.id)

    def get_freshness_policy(self, node: Node) -> Any:
        """Returns the freshness policy of a table or task, from `warn` and `error` of its `freshness`.

        Returns:
            A `dagster.FreshnessPolicy`; None if none is declared. For a Dagster without freshness policies, the value
            from which `build_definitions` builds freshness checks.
        """
        return freshness_policy(node)

    def get_retry_policy(self, node: Node) -> dg.RetryPolicy | None:
        """Returns the retry policy of a node, from `retries` and `retry_delay` of its DAG configuration or automation.

        A step is retried as long as a failed asset in it has a retry left.
        """
        job = self.job(node)
        return retry_policy(job.retries, job.retry_delay) if job is not None else None

    def get_pool(self, node: Node) -> str | None:
        """Returns the `default_pool` of the node's DAG configuration or the project's automation.

        A step has one pool: nodes of different pools run in separate steps.
        """
        job = self.job(node)
        return job.pool if job is not None else None

    def get_pre_load(self, node: Node) -> PreLoad | None:
        """Returns the files that a load waits for and the guard in its run, from the trigger of a node."""
        return self.trigger(node).preload

    def get_spark_config(self, node: Node) -> Mapping[str, str]:
        """Returns the Spark properties in the tags of a node. Tables with the same properties load together."""
        return spark_of(node.tags)

    def get_environment_config(self, node: Node) -> Mapping[str, Any]:
        """Returns execution-environment settings of a node; they take precedence over the resource and the node's tags.

        Empty by default; the page of each environment describes its settings. Tables with the same settings load
        together.
        """
        return {}

    def get_airflow_arguments(self, node: Node) -> Mapping[str, Any]:
        """Returns arguments of a node's operator in exported Airflow DAGs; they take precedence over the node's tags.

        Empty by default. An example is `{"queue": "large", "on_failure_callback": "my_company.alerts:notify"}`.
        """
        return {}

    def get_check_specs(self, node: Node) -> Sequence[dg.AssetCheckSpec]:
        """Returns the check specs of a node: its expectations; for a table also `rejected_rows` and `schema_drift`."""
        if node.kind == "external":
            return ()
        key, switches = self.spec(node).key, self.switches
        expected = named_expectations(node, self.project.application) if switches.enable_expectation_checks else ()
        checks = [
            dg.AssetCheckSpec(item.name, asset=key, description=expectation_text(item), blocking=item.blocking)
            for item in expected
        ]
        if node.kind == "table":
            rejected, drift = RESERVED
            if switches.enable_rejected_rows_check:
                checks.append(
                    dg.AssetCheckSpec(
                        rejected,
                        asset=key,
                        description="Fails when a row of a file was rejected; shows the reason per row.",
                    )
                )
            if node.is_described and switches.enable_schema_drift_check:
                text = "Fails when the columns of the table differ from those that the project describes; lists them."
                checks.append(dg.AssetCheckSpec(drift, asset=key, description=text))
        return checks


def bound_translator(
    translator: StarlakeTranslator | None, project: ProjectSource, function: str, triggers: Triggers | None = None
) -> StarlakeTranslator:
    """Returns the translator of the user, or the default translator if none is passed, bound to a project.

    Args:
        translator: The argument of the user.
        project: The project.
        function: The function that was called, for messages.
        triggers: Triggers of the project.

    Raises:
        TypeError: When it is not a translator, or a class instead of an instance.
    """
    if translator is None:
        return StarlakeTranslator().bound_to(project, triggers)
    checked = instance_of(translator, StarlakeTranslator, function, "translator", "StarlakeTranslator()")
    return checked.bound_to(project, triggers)


def _kind_rank(kind: str) -> tuple[int, str]:
    return (0 if kind == "starlake" else 1, kind)
