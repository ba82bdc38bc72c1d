"""SQLAlchemy URLs of Starlake connections: from a JDBC URL and its options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.project.model.project import Connection

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["DRIVERS", "Driver", "driver_of", "engine_url"]

_Options = Mapping[str, str]


@dataclass(frozen=True)
class Driver:
    """The Python driver of a warehouse.

    Attributes:
        name: Driver name of SQLAlchemy URLs.
        module: Top module of what the extra installs.
        extra: The extra of this package; "" if there is none, so that users install the driver themselves.
        install: Packages to install if there is no extra.
    """

    name: str
    module: str
    extra: str = ""
    install: str = ""


DRIVERS: Mapping[str, Driver] = {
    "postgresql": Driver("postgresql+psycopg", "psycopg", "postgres"),
    "redshift": Driver("starlake_redshift", "psycopg2", "redshift"),
    "snowflake": Driver("snowflake", "snowflake.sqlalchemy", "snowflake"),
    "databricks": Driver("databricks", "databricks.sqlalchemy", "databricks"),
    "hive2": Driver("hive", "pyhive", install="'pyhive[hive_pure_sasl]'"),
    "mysql": Driver("mysql+pymysql", "pymysql", "mysql"),
    "sqlserver": Driver("mssql+pymssql", "pymssql", "sqlserver"),
    "oracle": Driver("oracle+oracledb", "oracledb", "oracle"),
    "trino": Driver("trino", "trino", install="'trino[sqlalchemy]'"),
}
"""Drivers by the name of the engine in the JDBC URL."""

_JDBC = re.compile(r"jdbc:(?P<engine>[\w-]+):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_DATABRICKS = ("databricks", "spark")
_LIBPQ = {"sslmode", "sslrootcert", "sslcert", "sslkey", "options", "connect_timeout", "application_name"}
_ORACLE = re.compile(
    r"thin:(?:(?P<login>[^@]*)@|@)(?://)?(?P<host>[^:/]+)(?::(?P<port>\d+))?(?P<sign>[:/])?(?P<name>.*)"
)


def driver_of(connection: Connection) -> Driver | None:
    """Returns the driver of a connection; None if no SQL reader knows it, such as files written by Spark."""
    engine = connection.engine
    if connection.type.lower() == "databricks" or _engine(connection) in _DATABRICKS:
        return DRIVERS["databricks"] if _databricks_options(connection.options) else None
    if engine in ("bigquery", "duckdb", "spark"):
        return None
    known = DRIVERS.get(engine)
    if known is not None or not engine:
        return known
    return Driver(engine, "sqlalchemy", install=f"a SQLAlchemy dialect named `{engine}`")


def engine_url(connection: Connection) -> URL:
    """Returns the SQLAlchemy URL of a connection.

    Args:
        connection: One with a driver.

    Raises:
        RunnerError: Its options name no server in a form that a Python driver understands; no value is shown.
    """
    driver = driver_of(connection)
    if driver is None:
        raise RunnerError(f"connection {connection.name!r}: {connection.engine} has no SQL reader.")
    kind = driver.name.partition("+")[0]
    return _BUILDERS.get(kind, _standard)(driver.name, connection)


# ------------------------------------------------------------------------------------------------------- by warehouse


def _standard(name: str, connection: Connection) -> URL:
    """Parses `jdbc:<engine>://host:port/database?key=value`."""
    from sqlalchemy.engine import URL

    base, query = _split(_rest(connection), "?")
    hosts, database = _location(base)
    user, password, host = _login(hosts)
    user, password = _credentials(connection.options, query, user, password)
    first, port = _port(host, connection)
    kept = _libpq(query) if name.startswith("postgresql") or name == "starlake_redshift" else {}
    if "," in host:  # libpq tries one after the other
        return URL.create(name, user, password, database=database, query={**kept, "host": tuple(host.split(","))})
    return URL.create(name, user, password, first or None, port, database or None, query=kept)


def _sqlserver(name: str, connection: Connection) -> URL:
    """Parses `jdbc:sqlserver://host:port;databaseName=db;user=…;password=…`."""
    from sqlalchemy.engine import URL

    base, query = _semicolons(_rest(connection))
    host, port = _port(base.removeprefix("//"), connection)
    host, _, instance = host.partition("\\")
    user, password = _credentials(connection.options, query, None, None)
    database = query.get("databasename") or query.get("database")
    return URL.create(name, user, password, f"{host}\\{instance}" if instance else host, port, database)


def _oracle(name: str, connection: Connection) -> URL:
    """Parses `jdbc:oracle:thin:@//host:port/service` or `…@host:port:sid`."""
    from sqlalchemy.engine import URL

    found = _ORACLE.fullmatch(_rest(connection))
    if found is None:
        raise _unreadable(connection, "jdbc:oracle:thin:@//host:1521/service")
    login = (found["login"] or "").split("/", 1)
    user, password = _credentials(connection.options, {}, login[0] or None, login[1] if login[1:] else None)
    port = int(found["port"] or 1521)
    if found["sign"] == ":":
        return URL.create(name, user, password, found["host"], port, found["name"])
    return URL.create(name, user, password, found["host"], port, query={"service_name": found["name"]})


def _snowflake(name: str, connection: Connection) -> URL:
    """Parses the options `account`, `sfUrl`, … or `jdbc:snowflake://account.snowflakecomputing.com/?db=…`."""
    from sqlalchemy.engine import URL

    base, query = _split(_rest(connection), "?") if connection.options.get("url") else ("", {})
    options = {**query, **{key.lower(): value for key, value in connection.options.items()}}

    def option(*names: str) -> str | None:
        return next((value for one in names if (value := options.get(one))), None)

    host = option("account", "sfaccount") or option("sfurl") or base
    account = host.removeprefix("https://").strip("/").partition("/")[0].partition(":")[0]
    account = account.removesuffix(".snowflakecomputing.com")
    if not account:
        raise _unreadable(connection, "the option account or sfUrl")
    database, schema = option("db", "database", "sfdatabase"), option("schema", "sfschema")
    names = {"warehouse": ("warehouse", "sfwarehouse"), "role": ("role", "sfrole"), "authenticator": ("authenticator",)}
    kept = {key: value for key, keys in names.items() if (value := option(*keys))}
    path = f"{database}/{schema}" if database and schema else database
    user, password = option("user", "sfuser"), option("password", "sfpassword")
    return URL.create(name, user, password, account, database=path, query=kept)


def _databricks(name: str, connection: Connection) -> URL:
    """Parses `jdbc:databricks://host:443/default;httpPath=…;UID=token;PWD=…`."""
    from sqlalchemy.engine import URL

    options = _databricks_options(connection.options)
    query = {"http_path": options["httppath"]}
    query |= {
        key: options[name] for key, name in (("catalog", "conncatalog"), ("schema", "connschema")) if options.get(name)
    }
    token = options.get("pwd") or options.get("auth_accesstoken") or options.get("password")
    return URL.create(name, "token", token, options["host"], int(options.get("port") or 443), query=query)


def _databricks_options(options: _Options) -> dict[str, str]:
    """Returns host, `httpPath` and login of a Databricks SQL warehouse; none if the connection has no such URL."""
    match = _JDBC.fullmatch(options.get("url", ""))
    if match is None:
        return {}
    base, found = _semicolons(match["rest"])
    found = {**found, **{key.lower(): value for key, value in options.items() if key != "url"}}
    host, _, port = base.removeprefix("//").partition("/")[0].partition(":")
    return {**found, "host": host, "port": port} if found.get("httppath") else {}


_BUILDERS: Mapping[str, Callable[[str, Connection], URL]] = {
    "snowflake": _snowflake,
    "databricks": _databricks,
    "mssql": _sqlserver,
    "oracle": _oracle,
}


# ------------------------------------------------------------------------------------------------------- parts of URLs


def _engine(connection: Connection) -> str:
    match = _JDBC.fullmatch(connection.options.get("url", ""))
    return match["engine"].lower() if match else ""


def _rest(connection: Connection) -> str:
    """Returns a JDBC URL without the prefix `jdbc:<engine>:`."""
    match = _JDBC.fullmatch(connection.options.get("url", ""))
    if match is None:
        raise _unreadable(connection, "a url such as jdbc:postgresql://host:5432/database")
    return match["rest"]


def _split(text: str, sign: str) -> tuple[str, dict[str, str]]:
    base, _, query = text.partition(sign)
    return base, {key.lower(): value for key, value in parse_qsl(query, keep_blank_values=True)}


def _semicolons(text: str) -> tuple[str, dict[str, str]]:
    base, *pairs = text.split(";")
    found = (pair.partition("=") for pair in pairs if "=" in pair)
    return base, {key.strip().lower(): value.strip().strip("{}") for key, _, value in found}


def _location(base: str) -> tuple[str, str]:
    """Splits `//host:port/database`, or a database alone, into hosts and database."""
    if not base.startswith("//"):
        return "", unquote(base.strip("/"))
    hosts, _, database = base[2:].partition("/")
    return hosts, unquote(database)


def _login(hosts: str) -> tuple[str | None, str | None, str]:
    """Splits off user and password before `@`, which JDBC does not define and some drivers accept."""
    login, sign, host = hosts.rpartition("@")
    user, _, password = login.partition(":")
    return (unquote(user) or None, unquote(password) or None, host) if sign else (None, None, hosts)


def _credentials(
    options: _Options, query: Mapping[str, str], user: str | None, password: str | None
) -> tuple[str | None, str | None]:
    """Returns user and password; options of the connection take precedence, as in the JDBC drivers."""
    named = {key.lower(): value for key, value in options.items()}
    found_user = named.get("user") or named.get("username") or query.get("user") or user
    return found_user, named.get("password") or query.get("password") or password


def _port(host: str, connection: Connection) -> tuple[str, int | None]:
    if "," in host:
        return host, None
    name, sign, port = host.rpartition(":")
    if not sign or host.endswith("]"):
        return host.strip("[]"), None
    if not port.isdigit():
        raise _unreadable(connection, "a port number after the host")
    return name.strip("[]"), int(port)


def _libpq(query: Mapping[str, str]) -> dict[str, str]:
    """Returns the settings that libpq shares with the JDBC driver."""
    found = {key: value for key, value in query.items() if key in _LIBPQ}
    if "sslmode" not in found and query.get("ssl", "false").lower() not in ("false", ""):
        found["sslmode"] = "require"
    if schema := query.get("currentschema"):
        found.setdefault("options", f"-csearch_path={schema}")
    return found


def _unreadable(connection: Connection, expected: str) -> RunnerError:
    return RunnerError(
        f"connection {connection.name!r}: no Python driver understands its url; expected {expected}. "
        f"Next: give its SQLAlchemy URL as `warehouse_urls` of the Starlake resource."
    )
