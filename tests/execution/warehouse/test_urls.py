"""From the connections of a project to SQLAlchemy URLs and engines, without a server."""

from __future__ import annotations

import sys

import pytest

from starlake_dagster_assets.errors import RunnerError, WarehouseError
from starlake_dagster_assets.execution.warehouse.sqlalchemy_engines import EngineFactory, has_sql_driver
from starlake_dagster_assets.execution.warehouse.urls import engine_url
from starlake_dagster_assets.project.model.project import Connection


def connection(url: str = "", kind: str = "jdbc", **options: str) -> Connection:
    return Connection(name="c", type=kind, options={**({"url": url} if url else {}), **options})


URLS = {
    "jdbc:postgresql://h:5433/db": ("postgresql+psycopg://u:p%40w@h:5433/db", {"user": "u", "password": "p@w"}),
    "jdbc:postgresql://h/db?user=u&password=p&ssl=true&currentSchema=s": (
        "postgresql+psycopg://u:p@h/db?options=-csearch_path%3Ds&sslmode=require",
        {},
    ),
    "jdbc:postgresql://h1:1,h2:2/db": ("postgresql+psycopg:///db?host=h1%3A1&host=h2%3A2", {}),
    "jdbc:postgresql:db": ("postgresql+psycopg:///db", {}),
    "jdbc:postgresql://[::1]:5432/db": ("postgresql+psycopg://[::1]:5432/db", {}),
    "jdbc:redshift://c.eu-west-1.redshift.amazonaws.com:5439/dev": (
        "starlake_redshift://u@c.eu-west-1.redshift.amazonaws.com:5439/dev",
        {"user": "u"},
    ),
    "jdbc:mysql://h:3306/db?useSSL=false": ("mysql+pymysql://u@h:3306/db", {"user": "u"}),
    "jdbc:mariadb://h/db": ("mysql+pymysql://h/db", {}),
    "jdbc:sqlserver://h:1433;databaseName=db;user=u;password=p;encrypt=true": ("mssql+pymssql://u:p@h:1433/db", {}),
    "jdbc:oracle:thin:@//h:1522/svc": ("oracle+oracledb://u:p@h:1522?service_name=svc", {"user": "u", "password": "p"}),
    "jdbc:oracle:thin:@h:1521:sid": ("oracle+oracledb://h:1521/sid", {}),
    "jdbc:snowflake://acc.eu-west-1.snowflakecomputing.com/?db=d&warehouse=w": (
        "snowflake://u@acc.eu-west-1/d?warehouse=w",
        {"user": "u"},
    ),
    "jdbc:databricks://adb.azure.net:443/default;transportMode=http;httpPath=/sql/1;AuthMech=3;UID=token;PWD=t": (
        "databricks://token:t@adb.azure.net:443?http_path=%2Fsql%2F1",
        {},
    ),
    "jdbc:hive2://h:10000/db": ("hive://h:10000/db", {}),
}


@pytest.mark.parametrize("url", URLS)
def test_jdbc_urls(url: str):
    expected, options = URLS[url]
    assert engine_url(connection(url, **options)).render_as_string(hide_password=False) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"account": "acc", "user": "u", "password": "p", "db": "d", "schema": "s", "role": "r"},
        {"sfURL": "acc.snowflakecomputing.com", "sfUser": "u", "sfPassword": "p", "sfDatabase": "d", "sfSchema": "s"}
        | {"sfRole": "r"},
    ],
)
def test_options_of_snowflake(options: dict[str, str]):
    url = engine_url(connection(kind="snowflake", **options)).render_as_string(hide_password=False)
    assert url == "snowflake://u:p@acc/d/s?role=r"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("jdbc:duckdb:x.db", "jdbc"),
        ("", "fs"),
        ("", "bigquery"),
        ("jdbc:h2:mem:x", "jdbc"),
        ("jdbc:databricks://h:443/default", "databricks"),
    ],
)
def test_connections_without_a_sql_reader(url: str, kind: str):
    assert not has_sql_driver(connection(url, kind))


@pytest.mark.parametrize("url", ["jdbc:oracle:oci:@x", "jdbc:postgresql://h:{{PORT}}/db", "jdbc:snowflake:"])
def test_urls_that_no_driver_understands_name_the_way_out(url: str):
    with pytest.raises(RunnerError, match=r"connection 'c'.*warehouse_urls"):
        engine_url(connection(url, password="of-nobody"))


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("jdbc:postgresql://h/db", "psycopg", "postgres"),
        ("jdbc:redshift://h/db", "psycopg2", "redshift"),
        ("jdbc:mysql://h/db", "pymysql", "mysql"),
        ("jdbc:sqlserver://h;databaseName=db", "pymssql", "sqlserver"),
        ("jdbc:oracle:thin:@//h/db", "oracledb", "oracle"),
        ("jdbc:snowflake://a.snowflakecomputing.com", "snowflake", "snowflake"),
        ("jdbc:databricks://h:443/x;httpPath=/sql/1", "databricks", "databricks"),
    ],
)
def test_a_missing_driver_names_its_extra(url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch):
    for name in [*sys.modules]:
        if name == module or name.startswith(f"{module}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WarehouseError, match=rf"pip install 'starlake-dagster-assets\[{extra}\]'"):
        EngineFactory(connection(url)).create()


def test_a_url_that_is_none_is_not_shown():
    with pytest.raises(WarehouseError, match="expected a SQLAlchemy URL") as caught:
        EngineFactory(connection("jdbc:postgresql://h/db"), "not a url with a secret").create()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [url for url in URLS if ":hive2:" not in url and ":snowflake:" not in url])
def test_installed_drivers_make_engines(url: str):
    engine = EngineFactory(connection(url)).create()
    assert engine.dialect.dbapi is not None
    engine.dispose()
