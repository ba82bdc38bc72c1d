"""Registry of execution environments, and the protocol that your own environment implements.

A package registers an environment by an entry point of the group `starlake_dagster_assets.environments` whose value is
an `ExecutionEnvironment`. See the page *Add an execution environment* of the documentation (`docs/extending.md`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from starlake_dagster_assets._environment_validation import invalid_field
from starlake_dagster_assets._guarded_import import importing
from starlake_dagster_assets.commands.model import Command, Line
from starlake_dagster_assets.errors import PLUGIN_ADVICE, PluginError, StarlakeError, closest_match
from starlake_dagster_assets.execution.backends.remote.protocol import (
    Environment,
    ErrorClass,
    Policy,
    Status,
    Submission,
)
from starlake_dagster_assets.execution.node_settings import InvalidSetting, NodeSettings

if TYPE_CHECKING:
    from starlake_dagster_assets.airflow.operators.renderer import OperatorRenderer
    from starlake_dagster_assets.commands.loaded_project import ProjectSource
    from starlake_dagster_assets.doctor.project import Finding
    from starlake_dagster_assets.resources.base import StarlakeResource

__all__ = [
    "API_VERSION",
    "GROUP",
    "Command",
    "Environment",
    "ErrorClass",
    "ExecutionEnvironment",
    "InvalidSetting",
    "Line",
    "NodeSettings",
    "Policy",
    "Status",
    "Submission",
    "environment_of",
    "environments_table",
    "execution_environments",
    "get_environment",
    "origin_of",
    "resource_modules",
]

API_VERSION = 1
"""Version of `ExecutionEnvironment` and of the protocol `Environment`. It changes when implementations must change."""

GROUP = "starlake_dagster_assets.environments"
"""Group of the entry points that register environments."""

_LEVELS = ("ok", "warning", "error")


@dataclass(frozen=True)
class ExecutionEnvironment:
    """Registration of an execution environment; its classes and functions (`module:name`) are imported on first use.

    Attributes:
        name: Name in YAML, on the command line and in DAG configurations, such as `cloud_run`.
        resource: `StarlakeResource` class.
        summary: What runs the commands, for the documentation and the command line.
        requires: Distribution that its client needs; `doctor` reports its version. Empty if it needs none.
        install: Requirement that installs it, such as `starlake-dagster-assets[fargate]`.
        runs_program: Whether commands are run by the Starlake program, instead of an engine in this process.
        options: Options of DAG configurations for this environment.
        store: Protocol of the object store in which its Airflow tasks can wait for files, such as `gs`.
        airflow: `OperatorRenderer` class that renders its tasks for Airflow; empty if it has none.
        doctor: Function of the resource and the project that yields the findings of `doctor --environment`.
        settings: Function of the `NodeSettings` of a table or task and the resource, which is None in `check`; yields
            an `InvalidSetting` for each setting that is not valid. Empty if the environment has no settings per table.
        version: `API_VERSION` that it was written for.
        origin: Package and entry point that registered it, set by the registry; empty for those of this package.
    """

    name: str
    resource: str
    summary: str
    requires: str = ""
    install: str = ""
    runs_program: bool = True
    options: tuple[str, ...] = ()
    store: str = ""
    airflow: str = ""
    doctor: str = ""
    settings: str = ""
    version: int = 1
    origin: str = field(default="", compare=False)

    def resource_class(self) -> type[StarlakeResource]:
        """Returns the class of the resource.

        Raises:
            StarlakeError: It cannot be imported.
        """
        return cast("type[StarlakeResource]", self._subclass("StarlakeResource", "resource", self.resource))

    def operator_renderer(self) -> type[OperatorRenderer]:
        """Returns the class that renders the Airflow tasks of this environment.

        Raises:
            StarlakeError: The environment has no such class, or it cannot be imported.
        """
        return cast("type[OperatorRenderer]", self._subclass("OperatorRenderer", "airflow", self.airflow))

    def examine(self, resource: StarlakeResource, project: ProjectSource) -> Iterator[Finding]:
        """Yields the findings of the function `doctor` about the service; the warehouse is not examined.

        Args:
            resource: The resource that would run commands.
            project: The project whose commands would run.

        Raises:
            StarlakeError: The function cannot be imported, or does not yield findings.
        """
        if not self.doctor:
            return
        function = cast("Callable[[StarlakeResource, ProjectSource], Any]", self._load("doctor", self.doctor))
        with self.calling(f"`doctor` {self.doctor}"):
            findings: Any = function(resource, project)
            for finding in (None,) if findings is None else findings:
                values = [getattr(finding, name, None) for name in ("level", "topic", "text", "advice")]
                if not hasattr(finding, "level"):
                    raise TypeError(f"found {type(finding).__name__}, expected an iterable of Finding")
                if values[0] not in _LEVELS or not all(isinstance(value, str) for value in values):
                    raise TypeError(f"found {finding!r}, expected texts, and one of the levels {', '.join(_LEVELS)}")
                yield cast("Finding", finding)

    def invalid_settings(
        self, settings: NodeSettings, resource: StarlakeResource | None = None
    ) -> Iterator[InvalidSetting]:
        """Yields the settings of a table or task that are not valid, as the function `settings` finds them.

        Args:
            settings: The settings.
            resource: The resource that would run its commands; None if it is not known.

        Raises:
            StarlakeError: The function cannot be imported, fails, or yields another object.
        """
        if not self.settings:
            return
        function = cast("Callable[[NodeSettings, StarlakeResource | None], Any]", self._load("settings", self.settings))
        with self.calling(f"`settings` {self.settings}"):
            found: Any = function(settings, resource)
            for one in found if found is not None else ():
                if not isinstance(one, InvalidSetting):
                    raise TypeError(f"found {type(one).__name__}, expected an iterable of InvalidSetting")
                yield one

    @contextmanager
    def calling(self, call: str) -> Generator[None]:
        """Converts an unexpected error of a call into another package to an error that names the package.

        Args:
            call: What is called, such as `StarlakeBatch.environment()`.

        Raises:
            PluginError: Instead of any other error, if another package has registered the environment.
        """
        try:
            yield
        except StarlakeError:
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if not self.origin:
                raise
            raise PluginError(
                f"{self.title}: {call} raised {type(error).__name__}: {error}. {PLUGIN_ADVICE}"
            ) from error

    @property
    def title(self) -> str:
        """Name of the environment, and the package that registered it."""
        return f"environment {self.name}" + (f" of {self.origin}" if self.origin else "")

    def _subclass(self, base: str, field: str, reference: str) -> type[Any]:
        found = self._load(field, reference)
        if self.origin and base not in [one.__name__ for one in getattr(found, "__mro__", ())]:
            raise PluginError(
                f"{self.title}: `{field}` {reference!r} is not a subclass of {base}. Next: name the class in the "
                "ExecutionEnvironment of that package."
            )
        return found

    def _load(self, field: str, reference: str) -> Any:
        module, _, name = reference.partition(":")
        kind = PluginError if self.origin else StarlakeError
        with importing(kind, f"{self.title}: cannot import `{field}` {reference!r}: ", " Expected: `module:name`."):
            return getattr(import_module(module), name)


@lru_cache(maxsize=1)
def execution_environments() -> Mapping[str, ExecutionEnvironment]:
    """Returns all environments by name: those of this package, then those of other packages.

    An entry point that cannot be used is left out with a warning. The other environments are not affected.
    """
    found = {one.name: one for one in _built_in()}
    for point in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.dist.name if one.dist else "")):
        _register(point, found)
    return MappingProxyType(found)


def get_environment(name: str) -> ExecutionEnvironment:
    """Returns the environment that is registered under a name.

    Raises:
        StarlakeError: The name is unknown; the message suggests the closest name.
    """
    known = execution_environments()
    if name in known:
        return known[name]
    close = closest_match(name, known)
    hint = f" Did you mean `{close}`?" if close else ""
    raise StarlakeError(f"{name!r} is not one of {', '.join(known)}.{hint}")


def environment_of(resource: object) -> str | None:
    """Returns the name of the environment of a resource; None if its class is not registered."""
    bases = getattr(resource, "resource_cls", type(resource)).__mro__  # or the result of `configure_at_launch`
    packages = {base.__module__.partition(".")[0] for base in bases}
    found: list[tuple[int, str]] = []
    for one in execution_environments().values():
        module, _, name = one.resource.partition(":")
        kind = getattr(sys.modules.get(module), name, None)
        if one.origin and kind is None and module.partition(".")[0] in packages:  # it may be defined in another module
            with suppress(StarlakeError):  # reported where it is used
                kind = one.resource_class()
        found += [(bases.index(kind), one.name)] if kind in bases else []
    return min(found)[1] if found else None


def origin_of(kind: type[Any]) -> ExecutionEnvironment | None:
    """Returns the environment that another package registered with a resource class, without importing other classes.

    None for a subclass in a third package: its errors are not bugs of the package that registered the base class.
    """
    bases, package = kind.__mro__, kind.__module__.partition(".")[0]
    found: list[tuple[int, str]] = []
    for one in execution_environments().values():
        module, _, name = one.resource.partition(":")
        registered = getattr(sys.modules.get(module), name, None)
        if one.origin and registered in bases and (registered is kind or package == module.partition(".")[0]):
            found.append((bases.index(registered), one.name))
    return execution_environments()[min(found)[1]] if found else None


def resource_modules() -> Mapping[str, str]:
    """Returns the module of each resource class of this package by class name, without importing the modules."""
    parts = [one.resource.partition(":") for one in _built_in()]
    return {name: module for module, _, name in parts}


def environments_table() -> str:
    """Returns the environments as a Markdown table, for `docs/environments.md`."""
    rows = ["| name | resource | runs | install | Airflow |", "|---|---|---|---|---|"]
    for one in execution_environments().values():
        install = f"`{one.install}`" if one.install else ""
        kind, summary = one.resource.rpartition(":")[2], one.summary.replace("|", "\\|")
        rows.append(f"| `{one.name}` | `{kind}` | {summary} | {install} | {'yes' if one.airflow else ''} |")
    return "\n".join(rows)


def _built_in() -> Sequence[ExecutionEnvironment]:
    from starlake_dagster_assets._built_in_environments import BUILT_IN  # that module imports this one

    return BUILT_IN


def _register(point: EntryPoint, found: dict[str, ExecutionEnvironment]) -> None:
    """Adds the environment of an entry point to those found, or warns if it cannot be used."""
    try:
        one = _read_registration(point, found)
        found[one.name] = one
    except PluginError as error:
        origin = f" (package {point.dist.name})" if point.dist is not None else ""
        warnings.warn(f"the environment {point.name!r}{origin} is not available: {error}", stacklevel=3)


def _read_registration(point: EntryPoint, found: Mapping[str, ExecutionEnvironment]) -> ExecutionEnvironment:
    """Loads and validates the environment of an entry point.

    Args:
        point: The entry point.
        found: Environments that are registered already.

    Raises:
        PluginError: It cannot be used; the message states what was found, what was expected, and the next step.
    """
    if point.pattern.match(point.value) is None:
        raise PluginError(f"the entry point is {point.value!r}; expected `module:name`. {PLUGIN_ADVICE}")
    with importing(PluginError, f"{point.value} cannot be imported: ", f" {PLUGIN_ADVICE}"):
        one: object = point.load()
    if not isinstance(one, ExecutionEnvironment):
        raise PluginError(
            f"{point.value} is not an ExecutionEnvironment; found {type(one).__name__}. Next: name the "
            "ExecutionEnvironment of that package in its entry point."
        )
    if problem := invalid_field(one):
        raise PluginError(f"{problem} {PLUGIN_ADVICE}")
    if one.version != API_VERSION:
        older = "that package" if one.version < API_VERSION else "starlake-dagster-assets"
        raise PluginError(
            f"it was written for version {one.version} of the protocol, and this package has version {API_VERSION}. "
            f"Next: upgrade {older}."
        )
    if one.name in found:
        other = found[one.name].origin or "starlake-dagster-assets itself"
        raise PluginError(
            f"the name {one.name!r} is taken by {other}. Next: uninstall one of the packages, or ask the authors of "
            "one to rename its environment."
        )
    package = f"package {point.dist.name} {point.dist.version}" if point.dist is not None else "another package"
    return replace(one, origin=f"{package} (entry point {point.name} = {point.value})")
