"""Types of attributes: the types of the project, merged over the packaged types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, cast

from starlake_dagster_assets.project.files.schema import TypesFile
from starlake_dagster_assets.project.files.validation import check_shape
from starlake_dagster_assets.project.files.yaml_io import parse_yaml
from starlake_dagster_assets.project.model.problem_collector import ProblemReport
from starlake_dagster_assets.project.model.project import TypeDef
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["packaged_types", "resolve_types"]

_RESOURCE = "types_default.sl.yml"
_BY_PRIMITIVE = {
    "string": "VARCHAR",
    "variant": "JSON",
    "long": "BIGINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "double": "DOUBLE",
    "decimal": "DECIMAL",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
_NOT_REGEX = frozenset({"date", "timestamp", "struct", "variant"})


def packaged_types() -> dict[str, TypeDef]:
    """Returns the types that this package provides, by name."""
    text = files("starlake_dagster_assets.project.resolve").joinpath(_RESOURCE).read_text("utf-8")
    value = cast("dict[str, object]", parse_yaml(text).value)
    data, issues = check_shape(TypesFile, {"types": value["types"]}, ())
    if data is None:
        raise RuntimeError(f"{_RESOURCE} is damaged: {issues}")
    found = {item["name"]: TypeDef.model_validate(item) for item in data["types"]}
    return {**found, "struct": TypeDef(name="struct", pattern="", primitive_type="struct")}


def resolve_types(own: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], report: ProblemReport) -> dict[str, TypeDef]:
    """Merges the types of the project over the packaged types.

    Args:
        own: File and entries of `types/default.sl.yml`, then of `types/types.sl.yml`.
        report: Collector of problems, such as invalid patterns.

    Returns:
        All types by name. A type without a `duckdb` mapping has that of the packaged type of its name, else that
        of its primitive type.
    """
    packaged = packaged_types()
    found = dict(packaged)
    for file, entries in own:
        for index, entry in enumerate(entries):
            kind = TypeDef.model_validate(entry)
            found[kind.name] = _with_duckdb(kind, packaged)
            _check(kind, file, index, report)
    return found


def _with_duckdb(kind: TypeDef, packaged: Mapping[str, TypeDef]) -> TypeDef:
    if "duckdb" in kind.ddl_mapping or kind.primitive_type == "struct":
        return kind
    same = packaged.get(kind.name)
    ddl = same.ddl_mapping.get("duckdb") if same and same.primitive_type == kind.primitive_type else None
    ddl = ddl or _BY_PRIMITIVE.get(kind.primitive_type, "VARCHAR")
    return kind.model_copy(update={"ddl_mapping": {**kind.ddl_mapping, "duckdb": ddl}})


def _check(kind: TypeDef, file: str, index: int, report: ProblemReport) -> None:
    if kind.primitive_type in _NOT_REGEX:
        return
    parts = kind.pattern.split("<-TF->")
    path = ("types", index, "pattern")
    if kind.primitive_type == "boolean" and len(parts) != 2:
        hint = "Write `<true part><-TF-><false part>`."
        report.error(
            file, path, f"the pattern of the boolean type `{kind.name}` has no `<-TF->`.", "invalid-pattern", hint
        )
        return
    try:
        for part in parts:
            compile_java(part)
    except ValueError as error:
        report.error(file, path, f"`{kind.pattern}` is not a regular expression: {error}.", "invalid-pattern")
