"""Write strategies that the project defines: `metadata/write-strategies/duckdb/<name>.j2`."""

from __future__ import annotations

from pathlib import Path

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.writing.schema_sync import Target
from starlake_dagster_assets.engine.writing.strategies import WriteRequest, write
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project, WriteStrategy
from starlake_dagster_assets.project.resolve.strategy_templates import STRATEGY_FOLDER

__all__ = ["template_variables", "write_by_template"]

_FOLDER = STRATEGY_FOLDER / "duckdb"


def write_by_template(project: Project, target: Target, order: WriteRequest, *, exists: bool) -> None:
    """Writes by a template of the project; the first run of a table appends, as in the starlake program.

    Args:
        project: The project, for the template and the variables in force.
        target: The table.
        order: The write; its strategy's type names the template.
        exists: Whether the table existed before this run.

    Raises:
        EngineError: The template cannot be rendered, or gives no SQL.
        duckdb.Error: DuckDB rejects a statement of the template.
    """
    if not exists:
        _first(order)
        return
    from jinja2 import TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    folder = Path(project.root) / _FOLDER
    file = next(path for path in folder.glob("*.j2") if path.stem.lower() == order.strategy.type.lower())
    try:
        template = SandboxedEnvironment().from_string(file.read_text(encoding="utf-8"))
        sql = template.render({**project.variables, **template_variables(target, order)})
    except TemplateError as error:
        raise EngineError(f"{(_FOLDER / file.name).as_posix()}: {error}") from error
    if not sql.strip():
        raise EngineError(f"{(_FOLDER / file.name).as_posix()} gives no SQL")
    for statement in order.con.extract_statements(sql):
        order.con.execute(statement)


def template_variables(target: Target, order: WriteRequest) -> dict[str, object]:
    """Returns the variables that a template may use."""
    columns = ", ".join(identifier(name) for name in order.columns)
    keys = list(order.strategy.key)
    match = " AND ".join(f"SL_INCOMING.{identifier(k)} = SL_EXISTING.{identifier(k)}" for k in keys)
    return {
        "tableExists": True,
        "tableDatabase": target.database,
        "tableDomain": target.schema,
        "tableName": target.table,
        "tableFullName": target.name,
        "tableColumnsCsv": columns,
        "tableColumnNames": list(order.columns),
        "tableIncomingColumnsCsv": ", ".join(f"SL_INCOMING.{identifier(name)}" for name in order.columns),
        "selectStatement": f"SELECT {columns} FROM {order.incoming}",
        "strategyType": order.strategy.type,
        "strategyKey": keys,
        "strategyKeyCsv": ", ".join(identifier(key) for key in keys),
        "strategyKeyJoinCondition": match,
        "strategyTimestamp": order.strategy.timestamp or "",
        "strategyOn": order.strategy.on,
        "strategyStartTs": order.start,
        "strategyEndTs": order.end,
        "sinkPartition": list(order.partition),
        "quote": '"',
    }


def _first(order: WriteRequest) -> None:
    from dataclasses import replace

    write(replace(order, strategy=WriteStrategy(type="APPEND")))
