"""Settings of a translator: switches for the parts that it adds to assets."""

from dataclasses import dataclass, fields

__all__ = ["StarlakeTranslatorSettings"]


@dataclass(frozen=True, kw_only=True)
class StarlakeTranslatorSettings:
    """Switches for the parts that `StarlakeTranslator` adds to assets.

    Attributes:
        enable_code_references: Link each asset to its YAML and SQL files (`dagster/code_references`).
        enable_sql_in_description: Show the SQL of a task in the description of its asset, below its comment.
        enable_expectation_checks: Add an asset check for each expectation of a table or task.
        enable_rejected_rows_check: Add the check `rejected_rows` to each loaded table.
        enable_schema_drift_check: Add the check `schema_drift` to each loaded table that the project describes.
        enable_unit_test_checks: Add an asset check for each unit test of `metadata/tests`. The embedded engine runs the
            test whenever the checks of the asset are executed. Needs the extra `duckdb`.

    Raises:
        TypeError: When a value is not True or False.

    Examples:
        ::

            settings = StarlakeTranslatorSettings(enable_sql_in_description=False)
            build_definitions(project, translator=StarlakeTranslator(settings=settings))
    """

    enable_code_references: bool = True
    enable_sql_in_description: bool = True
    enable_expectation_checks: bool = True
    enable_rejected_rows_check: bool = True
    enable_schema_drift_check: bool = True
    enable_unit_test_checks: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            if not isinstance(value, bool):
                kind = type(value).__name__
                raise TypeError(f"StarlakeTranslatorSettings: `{field.name}` takes True or False, not {kind}.")
