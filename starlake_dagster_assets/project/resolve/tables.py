"""Resolves load domains with their tables, and external tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.project.checks.tables import check_domain, check_domains, check_table
from starlake_dagster_assets.project.files.discovery import SourceFile
from starlake_dagster_assets.project.files.key_validation import ParsedFile
from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.project import Domain, ExternalTable, Location, Table
from starlake_dagster_assets.project.resolve.inheritance import acls, merge_metadata, resolve_metadata
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject

__all__ = ["resolve_domains", "resolve_externals"]

Raw = dict[str, Any]
_EMPTY = ParsedFile({})


@dataclass(frozen=True)
class _Item:
    """A table as a file describes it."""

    file: SourceFile
    stem: str
    data: Raw
    line: int | None
    digest: str
    path: tuple[str | int, ...]


def resolve_domains(context: ParsedProject) -> tuple[Domain, ...]:
    """Returns the load domains, by directory; a domain without tables is left out with a warning."""
    configs = {file.domain: file for file in context.sources.of("load")}
    tables = context.by_domain("table")
    found: list[Domain] = []
    for directory in sorted({*configs, *tables}):
        domain = _domain(context, directory, configs.get(directory), tables.get(directory, []))
        if domain.tables:
            found.append(domain)
        elif not tables.get(directory):
            context.report.warning(domain.location.file, (), f"the domain `{directory}` has no table.", "empty-domain")
    check_domains(found, context)
    return tuple(found)


def resolve_externals(context: ParsedProject) -> tuple[ExternalTable, ...]:
    """Returns the tables below `metadata/external`, by final names."""
    configs = {file.domain: context.parsed[file.path].data or {} for file in context.sources.of("external_config")}
    found: list[ExternalTable] = []
    for file in context.sources.of("external"):
        parsed = context.parsed[file.path]
        if parsed.data is None:
            continue
        config = configs.get(file.domain, {})
        data = parsed.data
        found.append(
            ExternalTable(
                domain=config.get("rename") or config.get("name") or file.domain,
                name=data.get("rename") or data["name"],
                attributes=data.get("attributes", ()),
                comment=data.get("comment"),
                tags=data.get("tags", ()),
                location=Location(file=file.path, line=parsed.line),
            )
        )
    return tuple(found)


def _domain(context: ParsedProject, directory: str, config: SourceFile | None, files: list[SourceFile]) -> Domain:
    parsed = context.parsed[config.path] if config else _EMPTY
    data = parsed.data or {}
    metadata = part(data, "metadata")
    name = data.get("name") or directory
    path = config.path if config else f"metadata/load/{directory}"
    location = Location(file=path, line=parsed.line if config else None)
    domain = Domain(
        directory=directory,
        name=name,
        final_name=data.get("rename") or name,
        database=data.get("database") or context.application.database,
        comment=data.get("comment"),
        tags=data.get("tags", ()),
        incoming=metadata.get("directory"),
        ack=(metadata.get("ack") or "").lstrip(".") or None,
        tables=(),
        location=location,
    )
    if config:
        check_domain(domain, metadata, context)
    tables: list[Table] = []
    for item in _items(context, config, parsed, files):
        table = _table(context, domain, data, item, parsed.digest)
        check_table(table, item.data, item.path, context)
        tables.append(table)
    return domain.model_copy(update={"tables": tuple(tables)})


def _items(
    context: ParsedProject, config: SourceFile | None, parsed: ParsedFile, files: list[SourceFile]
) -> Iterator[_Item]:
    stems = {file.stem.lower() for file in files}
    for file in files:
        own = context.parsed[file.path]
        if own.data is not None:
            yield _Item(file, file.stem, own.data, own.line, own.digest, ("table",))
    for item in parsed.items if config else ():
        data, path = item["data"], ("tables", item["index"])
        if config is None or data["name"].lower() in stems:
            file = config.path if config else ""
            message = f"the table `{data['name']}` has a file of its own: the inline one is ignored."
            context.report.warning(file, path, message, "duplicate-table")
            continue
        yield _Item(config, data["name"], data, item["line"], parsed.digest, path)


def _table(context: ParsedProject, domain: Domain, config: Raw, item: _Item, config_digest: str) -> Table:
    data = item.data
    own = part(data, "metadata")
    metadata = resolve_metadata(merge_metadata(part(config, "metadata"), own), context.application)
    application = context.application
    default = application.load_connection_ref or application.connection_ref
    if "schedule" in own:
        cron = context.cron(metadata.schedule, item.file.path, (*item.path, "metadata", "schedule"))
    else:
        cron = context.cron(metadata.schedule, domain.location.file, ("load", "metadata", "schedule"))
    return Table(
        domain=domain.directory,
        domain_name=domain.name,
        stem=item.stem,
        name=data["name"],
        final_domain=domain.final_name,
        final_name=data.get("rename") or data["name"],
        database=domain.database,
        pattern=data["pattern"],
        attributes=data["attributes"],
        metadata=metadata,
        comment=data.get("comment"),
        primary_key=data.get("primary_key", ()),
        presql=data.get("presql", ()),
        postsql=data.get("postsql", ()),
        filter=data.get("filter"),
        tags=data.get("tags", ()),
        expectations=data.get("expectations", ()),
        rls=data.get("rls", ()),
        acl=acls(data.get("acl")),
        streams=data.get("streams", ()),
        connection=metadata.sink.connection_ref or default,
        cron=cron,
        location=Location(file=item.file.path, line=item.line),
        digest=f"{item.digest}{config_digest}",
    )
