"""Resolves `application.sl.yml`, with `SL_*` variables and defaults for options that it does not set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.project import (
    Application,
    Areas,
    Audit,
    Connection,
    ExpectationSettings,
    Location,
    RefRule,
)
from starlake_dagster_assets.project.resolve.schedules import PRESETS

__all__ = ["SETTINGS", "build_path_variables", "resolve_application", "resolve_refs"]

_TEXTS = {
    "connection_ref": "SL_CONNECTION_REF",
    "load_connection_ref": "SL_LOAD_CONNECTION_REF",
    "transform_connection_ref": "SL_TRANSFORM_CONNECTION_REF",
    "database": "SL_DATABASE",
    "tenant": "SL_TENANT",
    "load_strategy_class": "SL_LOAD_STRATEGY",
    "scd2_start_timestamp": "SL_SCD2_START_TIMESTAMP",
    "scd2_end_timestamp": "SL_SCD2_END_TIMESTAMP",
    "job_id_env_name": "SL_JOB_ID_ENV_NAME",
    "timezone": "SL_TIMEZONE",
}
_FLAGS = {
    "archive": "SL_ARCHIVE",
    "grouped": "SL_GROUPED",
    "reject_all_on_error": "SL_REJECT_ALL_ON_ERROR",
    "reject_with_value": "SL_REJECT_WITH_VALUE",
    "sink_replay_to_file": "SL_SINK_REPLAY_TO_FILE",
    "empty_is_null": "SL_EMPTY_IS_NULL",
    "sync_yaml_with_db": "SL_SYNC_YAML_WITH_DB",
    "create_schema_if_not_exists": "SL_CREATE_SCHEMA_IF_NOT_EXISTS",
}
_AREAS = ("incoming", "stage", "unresolved", "archive", "ingesting", "replay")

SETTINGS = frozenset(
    {*_TEXTS.values(), *_FLAGS.values(), *(f"SL_AREA_{name.upper()}" for name in _AREAS), "SL_INCOMING"}
    | {"SL_LOADER", "SL_GROUPED_MAX", "SL_DATASETS", "SL_DAG_REF_LOAD", "SL_DAG_REF_TRANSFORM", "SL_AUDIT_ACTIVE"}
    | {"SL_AUDIT_DOMAIN", "SL_AUDIT_DATABASE", "SL_AUDIT_SINK_CONNECTION_REF", "SL_DETAILED_LOAD_AUDIT"}
    | {"SL_EXPECTATIONS_ACTIVE", "SL_EXPECTATIONS_FAIL_ON_ERROR"}
)
"""The variables of the process that apply if `application.sl.yml` does not set an option."""


def resolve_application(
    root: Path, data: Mapping[str, Any], environ: Mapping[str, str], location: Location | None
) -> Application:
    """Returns the application's settings: the file, then `SL_*` variables, then defaults.

    Args:
        root: The project's root.
        data: Values that the file sets, by Python names.
        environ: The process environment.
        location: Location of the file.
    """
    found: dict[str, Any] = {}
    for name, variable in _TEXTS.items():
        value = data.get(name) if data.get(name) not in {None, ""} else environ.get(variable)
        if value:
            found[name] = value
    for name, variable in _FLAGS.items():
        value = data[name] if name in data else _flag(environ.get(variable))
        if value is not None:
            found[name] = value
    loader = data.get("loader") or (environ.get("SL_LOADER") or "").lower()
    if loader in {"spark", "native"}:
        found["loader"] = loader
    grouped = data.get("grouped_max") or _number(environ.get("SL_GROUPED_MAX"))
    if grouped:
        found["grouped_max"] = grouped
    if jobs := part(data, "spark_scheduling").get("max_jobs"):
        found["max_jobs"] = jobs
    dags = part(data, "dag_ref")
    return Application.model_validate(
        {
            **found,
            "connections": _connections(part(data, "connections")),
            "datasets": _base(root, data.get("datasets") or environ.get("SL_DATASETS") or "datasets"),
            "areas": _areas(part(data, "area"), environ),
            "audit": _audit(part(data, "audit"), found.get("connection_ref", ""), environ),
            "expectations": _expectations(part(data, "expectations"), environ),
            "dag_ref_load": _stem(dags.get("load") or environ.get("SL_DAG_REF_LOAD")),
            "dag_ref_transform": _stem(dags.get("transform") or environ.get("SL_DAG_REF_TRANSFORM")),
            "schedule_presets": {**PRESETS, **(part(data, "schedule_presets"))},
            "privacy_options": part(data, "privacy").get("options") or {},
            "location": location,
        }
    )


def resolve_refs(entries: list[dict[str, Any]]) -> tuple[RefRule, ...]:
    """Returns the rules of `refs.sl.yml`, or of `application.refs` if that file does not exist."""
    return tuple(RefRule.model_validate(entry) for entry in entries)


def build_path_variables(root: Path, application: Application, data: Mapping[str, Any]) -> dict[str, str]:
    """Returns the variables that the settings determine: paths and area names.

    Args:
        root: The project's root.
        application: The resolved settings.
        data: Values that the file sets, including paths that `application` does not contain.
    """
    metadata = _base(root, data.get("metadata") or "metadata")
    areas = application.areas
    found = {f"SL_AREA_{name.upper()}": str(getattr(areas, name)) for name in _AREAS}
    for name in ("dags", "tests", "types", "macros"):
        found[f"SL_{name.upper()}"] = _base(root, data.get(name) or f"{metadata}/{name}")
    incoming = data.get("incoming") or areas.incoming
    base = incoming if "://" in incoming or incoming.startswith("/") else f"{application.datasets}/{incoming}"
    return {
        **found,
        "SL_ROOT": str(root),
        "SL_DATASETS": application.datasets,
        "SL_METADATA": metadata,
        "SL_INCOMING": base,
    }


def _connections(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Connection]:
    return {name: Connection.model_validate({**data, "name": name}) for name, data in found.items()}


def _areas(data: Mapping[str, Any], environ: Mapping[str, str]) -> Areas:
    found: dict[str, str] = {}
    for name in _AREAS:
        value = data.get(name) or environ.get(f"SL_AREA_{name.upper()}")
        if not value and name == "incoming":
            value = environ.get("SL_INCOMING")
        if value:
            found[name] = str(value)
    return Areas.model_validate(found)


def _audit(data: Mapping[str, Any], connection: str, environ: Mapping[str, str]) -> Audit:
    active = data["active"] if "active" in data else _flag(environ.get("SL_AUDIT_ACTIVE"))
    detailed = (
        data["detailed_load_audit"] if "detailed_load_audit" in data else _flag(environ.get("SL_DETAILED_LOAD_AUDIT"))
    )
    sink = part(data, "sink").get("connection_ref")
    found = {
        "active": active,
        "domain": data.get("domain") or environ.get("SL_AUDIT_DOMAIN"),
        "max_errors": data.get("max_errors"),
        "detailed_load_audit": detailed,
        "connection": sink or environ.get("SL_AUDIT_SINK_CONNECTION_REF") or connection,
        "database": data.get("database") or environ.get("SL_AUDIT_DATABASE"),
    }
    return Audit.model_validate({name: value for name, value in found.items() if value is not None})


def _expectations(data: Mapping[str, Any], environ: Mapping[str, str]) -> ExpectationSettings:
    names = {"active": "SL_EXPECTATIONS_ACTIVE", "fail_on_error": "SL_EXPECTATIONS_FAIL_ON_ERROR"}
    found = {name: data[name] if name in data else _flag(environ.get(variable)) for name, variable in names.items()}
    return ExpectationSettings.model_validate({name: value for name, value in found.items() if value is not None})


def _base(root: Path, path: str) -> str:
    """Returns a path or URL; a relative path starts at the root."""
    return path if "://" in path else (root / path).as_posix()


def _flag(value: str | None) -> bool | None:
    return {"true": True, "false": False}.get((value or "").strip().lower())


def _number(value: str | None) -> int | None:
    return int(value) if value and value.strip().isdigit() else None


def _stem(name: str | None) -> str | None:
    return name.removesuffix(".sl.yml") or None if name else None
