"""Resolves transform domains and their tasks from YAML, SQL and Python files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from starlake_dagster_assets.project.checks.tasks import check_config, check_sql, check_task
from starlake_dagster_assets.project.files.discovery import SourceFile
from starlake_dagster_assets.project.files.key_validation import ParsedFile
from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.project import Location, Task, TransformDomain
from starlake_dagster_assets.project.resolve.inheritance import acls, merge_task, sink_of, strategy
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject
from starlake_dagster_assets.project.resolve.ref_rules import apply_refs
from starlake_dagster_assets.project.sql.sections import split_statements, strip_comments, temporary_tables

__all__ = ["resolve_transforms"]

Raw = dict[str, Any]


@dataclass(frozen=True)
class _Item:
    """A task as its files describe it; `path` is the path of its keys, () without YAML."""

    stem: str
    data: Raw
    file: SourceFile
    line: int | None
    digest: str
    path: tuple[str | int, ...]
    command: SourceFile | None
    yaml: bool


def resolve_transforms(context: ParsedProject) -> tuple[TransformDomain, ...]:
    """Returns the transform domains, by directory, each with its tasks by file name."""
    configs = {file.domain: file for file in context.sources.of("transform")}
    groups = [context.by_domain(kind) for kind in ("task", "sql", "python")]
    directories = sorted(set(configs).union(*groups))
    found = [_Directory(context, name, configs.get(name)).resolve(groups) for name in directories]
    return tuple(domain for domain in found if domain.tasks)


class _Directory:
    """A directory below `metadata/transform`."""

    def __init__(self, context: ParsedProject, directory: str, config: SourceFile | None) -> None:
        self._context = context
        self._directory = directory
        self._config = config
        self._parsed = context.parsed[config.path] if config else ParsedFile({})
        self._data = self._parsed.data or {}
        self._default: Raw = part(self._data, "default")

    def resolve(self, groups: list[dict[str, list[SourceFile]]]) -> TransformDomain:
        """Returns the domain with the tasks that can be resolved."""
        files, sqls, pythons = (group.get(self._directory, []) for group in groups)
        commands: dict[str, SourceFile] = {}
        for file in [*pythons, *sorted(sqls, key=lambda file: file.path.endswith(".sql"))]:
            commands[file.stem.lower()] = file
        if self._config:
            check_config(self._config.path, self._default, self._context)
        items = list(self._items(files, commands))
        tasks = [task for item in items if (task := self._task(item)) is not None]
        path = self._config.path if self._config else f"metadata/transform/{self._directory}"
        return TransformDomain(
            directory=self._directory,
            name=self._name,
            comment=self._data.get("comment"),
            tasks=tuple(sorted(tasks, key=lambda task: task.stem)),
            location=Location(file=path, line=self._parsed.line if self._config else None),
        )

    @property
    def _name(self) -> str:
        return self._data.get("name") or self._directory

    def _items(self, files: list[SourceFile], commands: dict[str, SourceFile]) -> Iterator[_Item]:
        taken: set[str] = set()
        for file in files:
            taken.add(file.stem.lower())
            parsed = self._context.parsed[file.path]
            if parsed.data is not None:
                command = commands.get(file.stem.lower())
                yield _Item(file.stem, parsed.data, file, parsed.line, parsed.digest, ("task",), command, True)
        for item in self._parsed.items if self._config else ():
            inline = self._inline(item, commands, taken)
            if inline is not None:
                taken.add(inline.stem.lower())
                yield inline
        for stem, command in sorted(commands.items()):
            if stem not in taken:
                yield _Item(command.stem, {}, command, 1, "", (), command, False)

    def _inline(self, item: Raw, commands: dict[str, SourceFile], taken: set[str]) -> _Item | None:
        config, data = self._config, item["data"]
        if config is None:
            return None
        path = ("transform", "tasks", item["index"])
        stem = data.get("name") or data.get("table")
        if not stem:
            message = "an inline task needs a `name`."
            self._context.report.error(config.path, path, message, "missing-key")
            return None
        if stem.lower() in taken:
            message = f"the task `{stem}` is there twice: this one is ignored."
            self._context.report.warning(config.path, path, message, "duplicate-task")
            return None
        return _Item(stem, data, config, item["line"], "", path, commands.get(stem.lower()), True)

    def _task(self, item: _Item) -> Task | None:
        context, application = self._context, self._context.application
        data = merge_task(self._default, item.data)
        own = item.data
        run = data.get("connection_ref") or application.transform_connection_ref or application.connection_ref
        sink = sink_of(data)
        connection = application.connections.get(run)
        dialect = connection.dialect if connection else ""
        code = self._code(item, data, dialect)
        if code is None:
            return None
        domain = own.get("domain") or (self._name if item.yaml else self._directory)
        database, domain, table = self._target(own.get("database"), domain, own.get("table") or item.stem)
        at, where = (item.file.path, item.path) if "schedule" in own else (self._location, ("transform", "default"))
        task = Task(
            transform_domain=self._directory,
            stem=item.stem,
            domain=domain,
            table=table,
            database=database or data.get("database") or application.database,
            presql=(*self._task_sql("presql"), *code.presql, *own.get("presql", ())),
            postsql=(*self._task_sql("postsql"), *own.get("postsql", ()), *code.postsql),
            sql=code.sql,
            source_sql=code.source,
            python=code.python,
            parse_sql=data.get("parse_sql", True),
            run_connection=run,
            connection=sink.connection_ref or run,
            sink=sink,
            write_strategy=strategy(part(data, "write_strategy"), application),
            cron=context.cron(data.get("schedule"), at, (*where, "schedule")),
            schedule=data.get("schedule") or None,
            dag_ref=(data.get("dag_ref") or "").removesuffix(".sl.yml") or application.dag_ref_transform,
            tags=data.get("tags", ()),
            freshness=data.get("freshness"),
            streams=data.get("streams", ()),
            primary_key=data.get("primary_key", ()),
            attributes=data.get("attributes", ()),
            sync_strategy=data.get("sync_strategy", "ADD"),
            expectations=data.get("expectations", ()),
            rls=data.get("rls", ()),
            acl=acls(data.get("acl")),
            comment=data.get("comment"),
            references=code.references,
            starlake_references=code.parity,
            location=Location(file=item.file.path, line=item.line),
            sql_location=Location(file=item.command.path, line=1) if item.command else None,
            digest="".join(dict.fromkeys((item.digest, self._parsed.digest, code.digest))),
        )
        check_task(task, own, item.path, context)
        return task

    @property
    def _location(self) -> str:
        return self._config.path if self._config else ""

    def _task_sql(self, key: str) -> tuple[str, ...]:
        return tuple(self._default.get(key) or ())

    def _target(self, database: str | None, domain: str, table: str) -> tuple[str, str, str]:
        """Returns the table that the task writes, after refs."""
        parts = (database, domain, table) if database else (domain, table)
        found = apply_refs(self._context.refs, parts)
        if found is None:
            return database or "", domain, table
        return found[0], found[1] or domain, found[2] or table

    def _code(self, item: _Item, data: Raw, dialect: str) -> _Code | None:
        command = item.command
        if command is not None and command.kind == "python":
            return _Code(python=command.path, digest=self._context.parsed[command.path].digest)
        if command is not None:
            parsed = self._context.parsed[command.path]
            if parsed.data is None:
                return None
            sections = parsed.data
            if not strip_comments(sections["sql"], dialect) and item.data.get("sql"):
                sections = {**sections, "sql": item.data["sql"]}
            return self._sql(item, sections, dialect, parsed.digest, analyze=data.get("parse_sql", True))
        if item.data.get("sql"):
            text = item.data["sql"]
            sections = {"presql": "", "sql": text, "postsql": "", "source": text.strip()}
            return self._sql(item, sections, dialect, "", analyze=data.get("parse_sql", True))
        if item.data.get("python"):
            return _Code(python=_relative(item.data["python"], self._context.root))
        message = f"the task `{item.stem}` has no SQL."
        hint = f"Write metadata/transform/{self._directory}/{item.stem}.sql (or .sql.j2, .py), or the key `sql`."
        self._context.report.error(item.file.path, item.path, message, "missing-sql", hint)
        return None

    def _sql(self, item: _Item, sections: Raw, dialect: str, digest: str, *, analyze: bool) -> _Code | None:
        sql = strip_comments(sections["sql"], dialect)
        file, path = (item.command.path, ()) if item.command else (item.file.path, (*item.path, "sql"))
        if not sql:
            self._context.report.error(file, path, "the SQL is empty.", "missing-sql")
            return None
        found = self._context.analyze(sql, dialect)
        if found.error and sections.get("probe"):
            # what only a run sets is empty here, which may leave `where a >=`
            probed = self._context.analyze(strip_comments(sections["probe"], dialect), dialect)
            found = found if probed.error else replace(probed, parity=found.parity)
        if analyze and found.error:
            check_sql(sql, found.error, dialect, file, path, self._context)
        before = strip_comments(sections["presql"], dialect)
        hidden = temporary_tables(";\n".join([*self._task_sql("presql"), before, *item.data.get("presql", ()), sql]))
        return _Code(
            sql=sql,
            source=sections["source"],
            presql=split_statements(before, dialect),
            postsql=split_statements(strip_comments(sections["postsql"], dialect), dialect),
            references=tuple(name for name in found.references if name.lower() not in hidden),
            parity=found.parity,
            digest=digest,
        )


@dataclass(frozen=True)
class _Code:
    """Code of a task: SQL or Python, and the SQL before and after it."""

    sql: str | None = None
    source: str | None = None
    python: str | None = None
    presql: tuple[str, ...] = ()
    postsql: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    parity: tuple[str, ...] = ()
    digest: str = ""


def _relative(path: str, root: str) -> str:
    """Returns the path of a Python file as named in the YAML, relative to the root if the file is below the root."""
    return path.removeprefix("file://").removeprefix(f"{root}/").removeprefix("./")
