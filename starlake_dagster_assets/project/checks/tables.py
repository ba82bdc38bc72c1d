"""Checks of tables and domains whose files have only known keys and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.checks.expectations import check_expectations
from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.problems import UNKNOWN_STRATEGY
from starlake_dagster_assets.project.model.project import Attribute, Domain, Table, WriteStrategy
from starlake_dagster_assets.project.model.values import STRATEGIES
from starlake_dagster_assets.project.resolve.durations import duration
from starlake_dagster_assets.project.resolve.java_regex import compile_java
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject
from starlake_dagster_assets.project.resolve.strategy_templates import template_names

__all__ = ["PRIVACY", "check_domain", "check_domains", "check_freshness", "check_strategy", "check_table"]

KeyPath = tuple[str | int, ...]

PRIVACY = ("none", "hide", "hide10X", "approxLong20", "md5", "sha1", "sha256", "sha512", "initials")
"""Starlake's built-in privacy keys."""

_DOMAIN_NAME = re.compile(r"[_a-zA-Z][$£a-zA-Z0-9_]{1,100}", re.ASCII)
_TABLE_NAME = re.compile(r"[_a-zA-Z][$£a-zA-Z0-9_]{1,256}", re.ASCII)
_COLUMN_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{1,767}", re.ASCII)
_KEYED = frozenset({"UPSERT_BY_KEY", "UPSERT_BY_KEY_AND_TIMESTAMP", "DELETE_THEN_INSERT", "SCD2"})
_ALMOST = {"OVERWRITE_BY_KEY": "UPSERT_BY_KEY", "OVERWRITE_BY_KEY_AND_TIMESTAMP": "UPSERT_BY_KEY_AND_TIMESTAMP"}


def check_domains(domains: Sequence[Domain], context: ParsedProject) -> None:
    """Reports domains with the same name, and domains with the same directory and tables with the same pattern."""
    by_name: dict[str, Domain] = {}
    patterns: dict[tuple[str, str], Table] = {}
    for domain in domains:
        other = by_name.setdefault(domain.name, domain)
        if other is not domain:
            message = f"the domain name `{domain.name}` is also that of {other.location.file}."
            context.report.error(domain.location.file, ("load", "name"), message, "duplicate-domain", "Rename one.")
        for table in domain.tables if domain.incoming else ():
            twin = patterns.setdefault((domain.incoming or "", table.pattern), table)
            if twin is not table and twin.domain != table.domain:
                message = f"the pattern `{table.pattern}` is also that of {twin.location.file}, in the same directory."
                context.report.error(table.location.file, ("table", "pattern"), message, "duplicate-pattern")


def check_domain(domain: Domain, metadata: dict[str, Any], context: ParsedProject) -> None:
    """Checks a domain's name, connection and DAG."""
    file = domain.location.file
    if domain.name != domain.directory:
        message = f"the name `{domain.name}` differs from the directory `{domain.directory}`."
        hint = f"Starlake's `--domains` takes the directory; use `rename: {domain.name}` for another schema name."
        context.report.warning(file, ("load", "name"), message, "domain-name", hint)
    sink = part(metadata, "sink")
    context.check_connection(sink.get("connection_ref"), file, ("load", "metadata", "sink", "connectionRef"))
    context.check_dag(metadata.get("dag_ref"), file, ("load", "metadata", "dagRef"))
    context.cron(metadata.get("schedule"), file, ("load", "metadata", "schedule"))
    check_freshness(part(metadata, "freshness"), file, ("load", "metadata"), context)
    _names(context, file, ("load", "name"), "domain", domain.name, _DOMAIN_NAME)


def check_table(table: Table, data: dict[str, Any], path: KeyPath, context: ParsedProject) -> None:
    """Checks the names, pattern, columns, settings and expectations of one table.

    Args:
        table: The resolved table.
        data: Values that its file sets, by Python names; inherited values are not checked again.
        path: Key path of the table in its file.
        context: The project to check against, and the collector of problems.
    """
    file, report = table.location.file, context.report
    if table.stem != table.name:
        message = f"the name `{table.name}` differs from the file's name `{table.stem}`."
        hint = "Starlake's `load --tables` finds such a table under neither name; use `rename` for another final name."
        report.warning(file, (*path, "name"), message, "table-name", hint)
    _names(context, file, (*path, "name"), "table", table.name, _TABLE_NAME)
    if not data.get("pattern"):
        report.error(file, (*path, "pattern"), "the pattern is empty: no file matches it.", "invalid-pattern")
    try:
        compile_java(table.pattern)
    except ValueError as error:
        message = f"`{table.pattern}` is not a regular expression: {error}."
        report.error(file, (*path, "pattern"), message, "invalid-pattern")
    _attributes(table, path, context)
    own = part(data, "metadata")
    at = (*path, "metadata")
    context.check_connection(part(own, "sink").get("connection_ref"), file, (*at, "sink", "connectionRef"))
    context.check_dag(own.get("dag_ref"), file, (*at, "dagRef"))
    check_strategy(table.metadata.write_strategy, table.connection, file, (*at, "writeStrategy"), context)
    if table.metadata.write_strategy.type == "OVERWRITE_BY_PARTITION" and not table.metadata.sink.partition:
        message = "OVERWRITE_BY_PARTITION needs `sink.partition`: the column whose values are replaced."
        report.error(file, (*at, "writeStrategy"), message, "missing-partition")
    _columns(table, path, context)
    check_freshness(part(own, "freshness"), file, at, context)
    check_expectations(data, file, path, context)
    _streams(table, path, context)


def check_strategy(strategy: WriteStrategy, connection: str, file: str, path: KeyPath, context: ParsedProject) -> None:
    """Reports missing keys of a write strategy, and unknown strategies."""
    report = context.report
    kinds = [*strategy.types] if strategy.types else [strategy.type]
    for kind in kinds:
        name = kind.upper()
        if strategy.types and (name not in STRATEGIES or name == "SCD2"):
            message = f"`{kind}` cannot be chosen by `types`."
            known = [word for word in STRATEGIES if word != "SCD2"]
            close = closest_match(kind, known)
            report.error(file, (*path, "types"), message, UNKNOWN_STRATEGY, f"Did you mean `{close}`?" if close else "")
        elif name not in STRATEGIES:
            _check_template(kind, connection, file, path, context)
        elif name in _KEYED and not strategy.key:
            report.error(file, path, f"{name} needs `key`: the columns that identify a row.", "missing-key-columns")
        elif name == "UPSERT_BY_KEY_AND_TIMESTAMP" and not strategy.timestamp:
            report.error(
                file, path, f"{name} needs `timestamp`: the column that orders row versions.", "missing-timestamp"
            )
    if strategy.start_ts and strategy.start_ts == strategy.end_ts:
        report.error(file, (*path, "endTs"), "`startTs` and `endTs` are the same column.", "scd2-columns")


def _check_template(kind: str, connection: str, file: str, path: KeyPath, context: ParsedProject) -> None:
    """Reports a write strategy that is neither built into Starlake nor a template of the project."""
    used = context.application.connections.get(connection)
    engine = used.engine if used else "*"
    own = template_names(context.root, engine)
    if kind.lower() in own:
        return
    place = f"metadata/write-strategies/{'<engine>' if engine == '*' else engine}/{kind.lower()}.j2"
    message = f"`{kind}` is no write strategy of Starlake, and there is no template {place}."
    close = _ALMOST.get(kind.upper()) or closest_match(kind, [*STRATEGIES, *own])
    hint = f"Did you mean `{close}`?" if close else f"Add the template, or use one of {', '.join(STRATEGIES)}."
    context.report.error(file, (*path, "type"), message, UNKNOWN_STRATEGY, hint)


def _attributes(table: Table, path: KeyPath, context: ParsedProject) -> None:
    names: dict[str, str] = {}
    scripted = False
    for index, attribute in enumerate(table.attributes):
        at = (*path, "attributes", index)
        final = attribute.final_name
        if final.lower() in names:
            context.report.error(table.location.file, at, f"the column `{final}` is there twice.", "duplicate-column")
        names[final.lower()] = final
        if scripted and attribute.script is None:
            message = f"the column `{attribute.name}` follows a column with a `script`."
            context.report.error(table.location.file, at, message, "script-order", "Put computed columns last.")
        scripted = scripted or attribute.script is not None
        if table.metadata.format == "POSITION" and attribute.position is None and attribute.script is None:
            message = f"the column `{attribute.name}` has no `position`, which the format POSITION needs."
            context.report.error(table.location.file, at, message, "missing-position")
    for at, attribute in _walk(table.attributes, (*path, "attributes")):
        _attribute(attribute, table.location.file, at, context)


def _walk(attributes: Iterable[Attribute], path: KeyPath) -> Iterator[tuple[KeyPath, Attribute]]:
    for index, attribute in enumerate(attributes):
        yield (*path, index), attribute
        yield from _walk(attribute.attributes, (*path, index, "attributes"))


def _attribute(attribute: Attribute, file: str, path: KeyPath, context: ParsedProject) -> None:
    report = context.report
    if attribute.type not in context.types:
        close = closest_match(attribute.type, context.types)
        hint = f"Did you mean `{close}`?" if close else "Add it to metadata/types/types.sl.yml."
        report.error(file, (*path, "type"), f"unknown type `{attribute.type}`.", "unknown-type", hint)
    elif context.types[attribute.type].primitive_type == "struct" and not attribute.attributes:
        message = f"the struct `{attribute.name}` has no `attributes`."
        report.error(file, path, message, "struct-without-attributes")
    if attribute.rename:
        _names(context, file, (*path, "rename"), "column", attribute.rename, _COLUMN_NAME)
    if attribute.position and not 0 <= attribute.position.first <= attribute.position.last:
        message = "`first` must be 0 or more and not after `last`."
        report.error(file, (*path, "position"), message, "invalid-position")
    if attribute.default is not None and (attribute.required or attribute.array or attribute.attributes):
        message = "a default has no effect on a column that is required, an array or a struct."
        report.warning(file, (*path, "default"), message, "useless-default")
    if attribute.privacy == "NONE":
        return
    known = {name.lower() for name in (*PRIVACY, *context.application.privacy_options)}
    word = attribute.privacy.split("(")[0].strip().lower()
    if word not in known and not attribute.privacy.strip().upper().startswith("SQL:"):
        close = closest_match(attribute.privacy, [*PRIVACY, *context.application.privacy_options])
        hint = f"Did you mean `{close}`?" if close else f"Known: {', '.join(PRIVACY)}, or `SQL: <expression>`."
        report.error(file, (*path, "privacy"), f"unknown privacy `{attribute.privacy}`.", "unknown-privacy", hint)


def _columns(table: Table, path: KeyPath, context: ParsedProject) -> None:
    """Reports keys, partitions and primary keys that are not final names of stored columns."""
    known = {attribute.final_name.lower() for attribute in table.attributes if not attribute.ignore}
    strategy, at = table.metadata.write_strategy, (*path, "metadata")
    uses: list[tuple[KeyPath, Sequence[str]]] = [
        ((*at, "writeStrategy", "key"), strategy.key),
        ((*at, "writeStrategy", "timestamp"), [strategy.timestamp] if strategy.timestamp else []),
        ((*at, "sink", "partition"), [name for name in table.metadata.sink.partition if not name.startswith("_")]),
        ((*path, "primaryKey"), table.primary_key),
    ]
    for where, names in uses:
        for name in names:
            if name.lower() not in known:
                _unknown_column(name, table, where, context)
    if strategy.type == "SCD2":
        for name in (strategy.start_ts, strategy.end_ts):
            if name and name.lower() in known:
                message = f"the column `{name}` is filled in by SCD2: it cannot be read from the files as well."
                context.report.warning(table.location.file, (*path, "attributes"), message, "scd2-columns")


def _unknown_column(name: str, table: Table, where: KeyPath, context: ParsedProject) -> None:
    finals = [attribute.final_name for attribute in table.attributes if not attribute.ignore]
    renamed = next((item.rename for item in table.attributes if item.rename and item.name == name), None)
    close = renamed or closest_match(name, finals)
    hint = f"Did you mean `{close}`?" if close else f"Columns (final names): {', '.join(finals)}."
    message = f"`{name}` is not a column of the table `{table.name}`."
    context.report.error(table.location.file, where, message, "unknown-column", hint)


def check_freshness(found: dict[str, Any], file: str, path: KeyPath, context: ParsedProject) -> None:
    """Checks `freshness`: durations that cannot be parsed, and a `warn` that is not shorter than `error`."""
    lengths: dict[str, timedelta] = {}
    for key in ("warn", "error"):
        value = found.get(key)
        length = duration(str(value)) if value else None
        if length is not None:
            lengths[key] = length
        elif value:
            message = f"`{value}` is not a duration."
            hint = "Write it as `3 days`, `2 hours` or `30 minutes`."
            context.report.error(file, (*path, "freshness", key), message, "invalid-duration", hint)
    if len(lengths) == 2 and lengths["warn"] >= lengths["error"]:
        message = f"`{found['warn']}` never warns: the error is reported after `{found['error']}`."
        hint = "Set `warn` to less than `error`, or leave it out."
        context.report.warning(file, (*path, "freshness", "warn"), message, "freshness-order", hint)


def _streams(table: Table, path: KeyPath, context: ParsedProject) -> None:
    start = f"{table.final_domain}_{table.final_name}".lower()
    raw = f"{table.domain_name}_{table.name}".lower()
    for name in table.streams:
        if not name.lower().split(".")[-1].startswith((start, raw)):
            message = f"the stream `{name}` does not start with `{start}`."
            context.report.warning(table.location.file, (*path, "streams"), message, "stream-name")


def _names(context: ParsedProject, file: str, path: KeyPath, kind: str, name: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(name):
        message = f"`{name}` is not the kind of {kind} name that Starlake's `validate` accepts ({pattern.pattern})."
        context.report.warning(file, path, message, f"{kind}-name-pattern")
