"""Reads a directory into a `Project` and its problems, in one pass."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

from starlake_dagster_assets.project.cache.manifest import Manifest, Snapshot, likely_secrets, may_be_secret
from starlake_dagster_assets.project.checks.refs import check_refs
from starlake_dagster_assets.project.files.application import build_path_variables, resolve_application, resolve_refs
from starlake_dagster_assets.project.files.discovery import SourceFile, Sources, read_sources
from starlake_dagster_assets.project.files.environment import (
    EnvFiles,
    Variables,
    choose_env,
    date_variables,
    missing_env,
    resolve_variables,
)
from starlake_dagster_assets.project.files.key_validation import ParsedFile
from starlake_dagster_assets.project.files.parsing import FileParser
from starlake_dagster_assets.project.files.rendering import Renderer, find_variable_names
from starlake_dagster_assets.project.model.problem_collector import ProblemReport
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Application, DagConfig, Location, Macro, Project
from starlake_dagster_assets.project.resolve.broken import without_broken
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject
from starlake_dagster_assets.project.resolve.tables import resolve_domains, resolve_externals
from starlake_dagster_assets.project.resolve.tasks import resolve_transforms
from starlake_dagster_assets.project.resolve.types_file import resolve_types
from starlake_dagster_assets.project.sql.analysis import Analyzer

__all__ = ["ProjectLoader", "load_project"]

_APPLICATION = "metadata/application.sl.yml"
_SETTINGS = {"application", "env"}
_OBJECTS_PER_COLLECTION = 50_000
_OF_A_COMMAND = ("SL_JOB_ID",)
"""Variables of the process environment that differ between the commands of a step; the clock does as well."""


def load_project(
    root: Path,
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    cache_dir: Path | None = None,
    keep_broken: bool = False,
) -> tuple[Project, tuple[Problem, ...]]:
    """Loads a project from its directory, which is not changed.

    Args:
        root: The directory that holds `metadata/application.sl.yml`.
        env: The environment: `env.<NAME>.sl.yml`. By default that of `SL_ENV` or of the project's files.
        options: Variables of the run, as in `--options`; they take precedence over the env files.
        environ: The process environment (`SL_*`); by default `os.environ`.
        cache_dir: Directory of the manifest; by default the user's cache directory.
        keep_broken: Whether objects with errors are kept if they could be read, for checks of their dependents.

    Returns:
        The project, without the objects whose files are broken, and all problems by file and line.

    Raises:
        ProjectError: When the directory is not a Starlake project.
    """
    return ProjectLoader(root).load(
        env=env, options=options, environ=environ, cache_dir=cache_dir, keep_broken=keep_broken
    )


class ProjectLoader:
    """Loader of a project for the commands of one step: all of them use the files that the first command read.

    Args:
        root: The directory that holds `metadata/application.sl.yml`.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().resolve()
        self._keeping = False
        self._sources: Sources | None = None
        self._manifests: dict[str | None, Manifest] = {}
        self._loaded: dict[Any, tuple[Mapping[str, str], Project, tuple[Problem, ...]]] = {}
        """Projects whose files mention no variable that differs between two commands, with the values of those."""

    def keep(self) -> None:
        """Keeps the files that the next load reads, so that later loads do not read them again."""
        self._keeping = True

    def close(self) -> None:
        """Discards the kept files; each load reads the files again."""
        self._keeping, self._sources, self._manifests, self._loaded = False, None, {}, {}

    def load(
        self,
        *,
        env: str | None = None,
        options: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        cache_dir: Path | None = None,
        keep_broken: bool = False,
    ) -> tuple[Project, tuple[Problem, ...]]:
        """Loads the project; for the arguments see `load_project`."""
        values = dict(os.environ if environ is None else environ)
        now = datetime.now(timezone.utc).astimezone()
        moment = {**date_variables(now), **{name: values[name] for name in _OF_A_COMMAND if name in values}}
        fixed = frozenset((name, value) for name, value in values.items() if name not in moment)
        key = (env, keep_broken, frozenset((options or {}).items()), fixed, frozenset(moment))
        if key in self._loaded:
            then, project, problems = self._loaded[key]
            changed = {name: moment[name] for name, value in then.items() if project.variables.get(name) == value}
            return project.model_copy(update={"variables": {**project.variables, **changed}}), problems
        sources = self._sources or read_sources(self.root)
        loading = _Loading(self.root, sources, env, dict(options or {}), values, now)
        manifest = self._manifests.get(loading.env) or Manifest(cache_dir or _cache_dir(), self.root, loading.env)
        found = loading.load(manifest, keep_broken=keep_broken)
        if self._keeping:
            self._sources, self._manifests[loading.env] = sources, manifest
            if manifest.names is not None and moment.keys().isdisjoint({*manifest.names, *loading.settings_names()}):
                self._loaded[key] = (moment, *found)
        return found


class _Loading:
    """State of one load of a project directory."""

    def __init__(
        self,
        root: Path,
        sources: Sources,
        env: str | None,
        options: Mapping[str, str],
        environ: Mapping[str, str],
        now: datetime,
    ) -> None:
        self._root = root
        self._sources = sources
        # the files are sorted by path: `expectations` before `macros`, as the engine reads them
        self._macros = {
            file.path.removeprefix("metadata/"): file.content.decode("utf-8", "replace") for file in sources.of("macro")
        }
        self._renderer = Renderer(root / "metadata", self._macros)
        self._parsed: dict[str, ParsedFile] = {}
        self._now = now
        self._problems: list[Problem] = list(sources.problems)
        self._settings(env or None, options, environ)

    # ---------------------------------------------------------------------------------- variables and settings

    def _settings(self, env: str | None, options: Mapping[str, str], environ: Mapping[str, str]) -> None:
        blank = FileParser(self._renderer, Variables({}, {}), self._macros)
        maps: dict[str, Mapping[str, str]] = {}
        for file in self._sources.of("env"):
            found = blank.parse(file)
            self._parsed[file.path] = found
            maps[file.stem] = found.data or {}
        files = EnvFiles(maps)
        name = choose_env(env, environ, files)
        self._variables = resolve_variables(str(self._root), name, files, environ, options, self._now)
        data = self._read_application()
        chosen = choose_env(env, environ, files, data.get("env") or "")
        if chosen != name:
            name = chosen
            self._variables = resolve_variables(str(self._root), name, files, environ, options, self._now)
            data = self._read_application()
        self.env = name
        if name is not None and name not in files.names:
            self._problems.append(missing_env(name, env, environ, files, data.get("env") or ""))
        location = Location(file=_APPLICATION, line=self._parsed[_APPLICATION].line)
        self._application = resolve_application(self._root, data, environ, location)
        forced = build_path_variables(self._root, self._application, data)
        stable = {**self._variables.stable, **{key: f"${key}" for key in forced}}
        self._variables = Variables({**self._variables.values, **forced}, stable)
        self._parser = FileParser(self._renderer, self._variables, self._macros)
        self._application_refs: list[dict[str, Any]] = data.get("refs") or []

    def settings_names(self) -> frozenset[str]:
        """Returns the variables that the application and the env files mention."""
        files = [file for kind in _SETTINGS for file in self._sources.of(kind)]
        return frozenset(
            name for file in files for name in find_variable_names(file.content.decode("utf-8", "replace"))
        )

    def _read_application(self) -> dict[str, Any]:
        parser = FileParser(self._renderer, self._variables, self._macros)
        file = self._sources.files.get(_APPLICATION)
        self._parsed[_APPLICATION] = parser.parse(file) if file else ParsedFile(None)
        return self._parsed[_APPLICATION].data or {}

    # --------------------------------------------------------------------------------------------------- load

    def load(self, manifest: Manifest, *, keep_broken: bool) -> tuple[Project, tuple[Problem, ...]]:
        key = self._key()
        context = _Values(self._variables)
        snapshot = manifest.project(key, context)
        if snapshot is None:
            secrets = likely_secrets(self._variables.values, self._application)
            with _rare_collections():
                snapshot, names, keep = self._resolve(manifest, secrets)
            manifest.save()
            if keep:
                manifest.keep_project(key, names, context, snapshot)
            else:
                manifest.forget_project()
        self._problems += snapshot.problems
        snapshot = snapshot if keep_broken else without_broken(snapshot)
        for kind in _SETTINGS:
            for file in self._sources.of(kind):
                self._problems += self._parsed[file.path].problems
        refs = self._refs()
        project = Project(
            root=str(self._root),
            env=self.env,
            variables=self._variables.values,
            application=self._application.model_copy(update={"refs": refs}),
            types=snapshot.types,
            domains=snapshot.domains,
            transforms=snapshot.transforms,
            externals=snapshot.externals,
            dags=snapshot.dags,
            macros=snapshot.macros,
        )
        return project, _sorted(self._problems)

    def _refs(self) -> tuple[Any, ...]:
        for file in self._sources.of("refs"):
            if file.path not in self._parsed:
                self._parsed[file.path] = self._parser.parse(file)
            data = self._parsed[file.path].data
            return resolve_refs(data["refs"]) if data else ()
        return resolve_refs(self._application_refs)

    def _key(self) -> str:
        """Returns a hash of all files and of the settings that the resolved objects depend on."""
        digest = blake2b(digest_size=16)
        for path, file in self._sources.files.items():
            if file.kind not in _SETTINGS:
                digest.update(f"{path}\0{file.hash}\0".encode("utf-8", "surrogatepass"))
        settings = self._application.model_dump(exclude={"connections"})
        digest.update(repr(settings).encode("utf-8", "surrogatepass"))
        for name, item in sorted(self._application.connections.items()):
            digest.update(repr((name, item.loader, item.engine, item.dialect)).encode("utf-8", "surrogatepass"))
        digest.update(repr((str(self._root), self.env, self._application_refs)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _resolve(self, manifest: Manifest, secrets: frozenset[str]) -> tuple[Snapshot, frozenset[str], bool]:
        names: set[str] = set()
        keep = True
        for file in self._sources.files.values():
            if file.kind not in _SETTINGS:
                parsed, kept = self._parse(file, manifest, secrets)
                self._parsed[file.path] = parsed
                names.update(parsed.names)
                keep = keep and kept
        report = ProblemReport(self._line)
        refs = self._refs()
        application = self._application.model_copy(update={"refs": refs})
        check_refs(refs, "metadata/refs.sl.yml" if self._sources.of("refs") else _APPLICATION, report)
        types = [
            (file.path, (self._parsed[file.path].data or {}).get("types") or ()) for file in self._sources.of("types")
        ]
        resolution = ParsedProject(
            sources=self._sources,
            parsed=self._parsed,
            application=application,
            types=resolve_types(types, report),
            macros=self._renderer.macro_names,
            report=report,
            analyze=Analyzer(manifest, secrets),
            root=str(self._root),
        )
        self._check_application(application, resolution)
        snapshot = Snapshot(
            types=dict(resolution.types),
            domains=resolve_domains(resolution),
            transforms=resolve_transforms(resolution),
            externals=resolve_externals(resolution),
            dags=self._dags(),
            macros=self._macro_models(),
            problems=(),
        )
        problems = [*report.problems]
        for file in self._sources.files.values():
            if file.kind not in _SETTINGS:
                problems += self._parsed[file.path].problems
        return snapshot.model_copy(update={"problems": tuple(problems)}), frozenset(names), keep

    def _parse(self, file: SourceFile, manifest: Manifest, secrets: frozenset[str]) -> tuple[ParsedFile, bool]:
        """Parses a file, or reads it from the manifest; also returns whether the manifest may store the result."""
        known = f"{file.path}\0{file.hash}"
        found = manifest.get(known)
        if found is not None and found["context"] == self._parser.context(found["parsed"]["names"]):
            return ParsedFile.from_json(found["parsed"]), True
        parsed = self._parser.parse(file)
        reads = {name for name in parsed.names if may_be_secret(name)} & set(self._variables.values)
        text = parsed.text or str(parsed.data)
        source = file.content.decode("utf-8", "replace")
        keep = not reads and not any(secret in text and secret not in source for secret in secrets)
        if keep:
            manifest.put(known, {"context": self._parser.context(parsed.names), "parsed": parsed.to_json()})
        return parsed, keep

    def _line(self, path: str, keys: tuple[str | int, ...]) -> int | None:
        file = self._sources.files.get(path)
        return self._parser.line(file, keys) if file and keys else 1

    def _check_application(self, application: Application, resolution: ParsedProject) -> None:
        at = ("application",)
        names = {
            "connectionRef": application.connection_ref,
            "loadConnectionRef": application.load_connection_ref,
            "transformConnectionRef": application.transform_connection_ref,
        }
        for key, name in names.items():
            resolution.check_connection(name, _APPLICATION, (*at, key))
        if application.audit.connection != application.connection_ref:
            place = (*at, "audit", "sink", "connectionRef")
            resolution.check_connection(application.audit.connection, _APPLICATION, place)
        resolution.check_dag(application.dag_ref_load, _APPLICATION, (*at, "dagRef", "load"))
        resolution.check_dag(application.dag_ref_transform, _APPLICATION, (*at, "dagRef", "transform"))
        for name, cron in application.schedule_presets.items():
            resolution.cron(cron if " " in cron else f"{cron} ?", _APPLICATION, (*at, "schedulePresets", name))

    def _dags(self) -> dict[str, DagConfig]:
        found: dict[str, DagConfig] = {}
        for file in self._sources.of("dag"):
            parsed = self._parsed[file.path]
            if parsed.data is not None:
                location = Location(file=file.path, line=parsed.line)
                found[file.stem] = DagConfig.model_validate({**parsed.data, "name": file.stem, "location": location})
        return found

    def _macro_models(self) -> tuple[Macro, ...]:
        return tuple(
            Macro(
                file=f"metadata/{path}",
                text=text,
                kind="expectation" if path.startswith("expectations/") else "macro",
            )
            for path, text in self._macros.items()
        )


class _Values(Mapping[str, str]):
    """Mapping from each variable to its value and its stable value, for the manifest."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        return f"{self._variables.values[name]}\0{self._variables.stable.get(name)}"

    def __iter__(self) -> Any:
        return iter(self._variables.values)

    def __len__(self) -> int:
        return len(self._variables.values)


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    unique = {str(problem) + problem.code: problem for problem in problems}
    return tuple(sorted(unique.values(), key=lambda item: (item.file, item.line or 0, item.key, item.message)))


def _cache_dir() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("starlake_dagster_assets")


@contextmanager
def _rare_collections() -> Generator[None]:
    """Makes garbage collections rare within the block: they take a seventh of the time to read a large project."""
    usual = gc.get_threshold()
    if not 0 < usual[0] < _OBJECTS_PER_COLLECTION:  # off, or already rare, such as in another thread's block
        yield
        return
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
