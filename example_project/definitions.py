"""The Dagster code location of Starbake: the Starlake project, and one Python asset downstream of it."""

import os
from pathlib import Path

import dagster as dg
import duckdb

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeMetadata,
    StarlakeProject,
    StarlakeShell,
    build_definitions,
)
from starlake_dagster_assets.automation import upstreams_updated

project = StarlakeProject(
    Path(__file__).parent / "starbake",
    env="DUCKDB",
    manifest=os.environ.get("STARBAKE_MANIFEST"),  # set in an image, see Dockerfile
)

REPORT = """\
# Starbake, {day}

Revenue of the day: **{revenue} €** in {orders} orders; orders of unknown customers: {unknown}.

| rank | shop | revenue (€) | expected tomorrow (€) |
|---:|---|---:|---:|
{shops}

Best sellers: {products}.
"""


@dg.asset(
    group_name="reports",
    tags={"audience": "head-office"},
    kinds={"python", "duckdb"},
    deps=[  # the tables of the project are assets with the key [schema, table]
        dg.AssetKey(["kpi", "shop_ranking"]),
        dg.AssetKey(["kpi", "top_products"]),
        dg.AssetKey(["Customers", "HighValueCustomers"]),
        dg.AssetKey(["Customers", "OrdersWithoutCustomer"]),
        dg.AssetKey(["Products", "PriceHistory"]),
    ],
    # starts when an upstream has an update that it has not read, and all upstreams are up to date
    automation_condition=upstreams_updated(),
    # DuckDB has one writer: wait while a load uses the file
    retry_policy=dg.RetryPolicy(max_retries=5, delay=2, backoff=dg.Backoff.EXPONENTIAL),
)
def weekly_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The latest day of all shops, with a simple forecast, as a page of Markdown."""
    with duckdb.connect(str(project.root / "datasets" / "duckdb.db"), read_only=True) as warehouse:
        shops = warehouse.sql(
            """
            select rank_of_day, shop_name, revenue, average_of_3_days, order_date, order_count
            from kpi.shop_ranking join kpi.daily_revenue using (order_date, shop_id, shop_name, revenue)
            where order_date = (select max(order_date) from kpi.shop_ranking)
            order by rank_of_day, shop_name
            """
        ).fetchall()
        products = warehouse.sql("select name from kpi.top_products where position = 1 order by name").fetchall()
        unknown = warehouse.table("Customers.OrdersWithoutCustomer").shape[0]
    if not shops:
        raise dg.Failure("kpi.shop_ranking is empty: deliver files (deliver.py), then materialize all assets.")
    revenue = sum(shop[2] for shop in shops)
    page = REPORT.format(
        day=shops[0][4],
        revenue=revenue,
        orders=sum(shop[5] for shop in shops),
        unknown=unknown,
        shops="\n".join(f"| {rank} | {name} | {sold} | {mean} |" for rank, name, sold, mean, *_ in shops),
        products=", ".join(name for (name,) in products),
    )
    target = project.root / "datasets" / "reports" / "weekly.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    context.log.info(f"Report of {shops[0][4]} written to {target}")
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(page),
            "path": dg.MetadataValue.path(str(target)),
            "revenue": dg.MetadataValue.float(float(revenue)),
        }
    )


defs = build_definitions(
    project,
    # `shell` in the image with the starlake program, see Dockerfile
    starlake=StarlakeShell() if os.environ.get("STARBAKE_ENVIRONMENT") == "shell" else StarlakeDuckDB(),
    metadata=StarlakeMetadata(preview=5),  # rows of each table, without the columns that have `privacy`
    extra_assets=[weekly_report],
    external="specs",  # show the incoming files as assets: nothing else defines them
    # Once switched on, sensors load new files and then run the tasks that read the tables. With schedules, loads would
    # wait for files only in the windows that their crons open.
    automation=StarlakeAutomation(pre_load="imported", schedules=False),
)
