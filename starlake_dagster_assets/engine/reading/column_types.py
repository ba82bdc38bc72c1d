"""DuckDB column types of attributes, for the columns of target tables."""

from __future__ import annotations

from collections.abc import Iterable

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.reading.accepted_rows import Column
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Attribute, Project, Table, TypeDef

__all__ = ["column_type", "duplicate_names", "scalar_ddl", "stored_attributes", "target_columns", "type_of"]

DEFAULT_DECIMAL = "DECIMAL(38,9)"

BY_PRIMITIVE = {
    "string": "VARCHAR",
    "variant": "JSON",
    "long": "BIGINT",
    "int": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "double": "DOUBLE",
    "decimal": DEFAULT_DECIMAL,
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}


def type_of(attribute: Attribute, project: Project) -> TypeDef:
    """Returns the type an attribute names (`attributes[].type`).

    Args:
        attribute: The attribute; not a struct.
        project: Holds the types of the project and the packaged ones.

    Returns:
        The type definition.

    Raises:
        EngineError: When no such type exists; the message suggests the closest one.
    """
    found = project.types.get(attribute.type)
    if found is not None:
        return found
    close = closest_match(attribute.type, [*project.types, "struct"])
    hint = f" Did you mean '{close}'?" if close else ""
    raise EngineError(f"attribute '{attribute.name}': unknown type '{attribute.type}'.{hint}")


def scalar_ddl(definition: TypeDef) -> str:
    """Returns the DuckDB type of a scalar: `ddlMapping.duckdb`, or by primitive type; a bare DECIMAL has 38 digits.

    Args:
        definition: The type; `zone` of a decimal is `precision,scale`.

    Returns:
        A DuckDB type, such as `INTEGER`.

    Raises:
        EngineError: When the primitive type is not one of Starlake's.
    """
    mapped = definition.ddl_mapping.get("duckdb", "").strip()
    if definition.primitive_type == "decimal" and mapped.upper() in {"", "DECIMAL", "NUMERIC"}:
        digits = [part.strip() for part in (definition.zone or "").split(",")]
        if len(digits) == 2 and all(part.isdigit() for part in digits):
            return f"DECIMAL({digits[0]},{digits[1]})"
        return DEFAULT_DECIMAL
    if mapped:
        return mapped
    primitive = BY_PRIMITIVE.get(definition.primitive_type)
    if primitive is None:
        raise EngineError(
            f"type '{definition.name}': unknown primitiveType '{definition.primitive_type}'; "
            f"expected one of {', '.join(sorted(BY_PRIMITIVE))}"
        )
    return primitive


def column_type(attribute: Attribute, project: Project) -> str:
    """Returns the DuckDB type of a column.

    Args:
        attribute: A scalar, a struct (`attributes`) or an array of either (`array: true`).
        project: Holds the types.

    Returns:
        DuckDB DDL, such as `STRUCT("a" INTEGER)[]`.

    Raises:
        EngineError: When a type is not known or a struct has no attributes.
    """
    if attribute.attributes:
        duplicate_names((child.final_name for child in attribute.attributes), f"struct '{attribute.name}'")
        fields = ", ".join(
            f"{identifier(child.final_name)} {column_type(child, project)}" for child in attribute.attributes
        )
        ddl = f"STRUCT({fields})"
    elif attribute.type == "struct":
        raise EngineError(f"attribute '{attribute.name}' is a struct without attributes; list them under 'attributes'")
    else:
        ddl = scalar_ddl(type_of(attribute, project))
    return f"{ddl}[]" if attribute.array else ddl


def stored_attributes(table: Table) -> tuple[Attribute, ...]:
    """Returns the attributes that reach the target: those without `ignore: true`, in order."""
    return tuple(attribute for attribute in table.attributes if not attribute.ignore)


def target_columns(table: Table, project: Project) -> tuple[Column, ...]:
    """Returns the columns of a load target: final names and DuckDB types, in the order of the YAML.

    Args:
        table: The load table.
        project: Holds the types.

    Returns:
        One column per attribute, without ignored attributes, with scripted ones.

    Raises:
        EngineError: When two names differ only in case (DuckDB treats them as equal), nothing is stored, or a type is
            not known.
    """
    stored = stored_attributes(table)
    duplicate_names((attribute.final_name for attribute in stored), f"table '{table.raw}'")
    if not stored:
        raise EngineError(f"table '{table.raw}' stores no column: every attribute has 'ignore: true'")
    return tuple(Column(attribute.final_name, column_type(attribute, project)) for attribute in stored)


def duplicate_names(names: Iterable[str], where: str) -> None:
    """Raises an error for names that DuckDB cannot distinguish.

    Args:
        names: Column names.
        where: The table or struct that has them, for the message.

    Raises:
        EngineError: When two names are equal regardless of case.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise EngineError(
                f"{where} has columns '{other}' and '{name}': DuckDB does not distinguish upper and lower case. "
                "Rename one of them (attributes[].rename)"
            )
