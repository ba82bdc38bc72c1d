"""SQLAlchemy engines of connections, created when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.errors import RunnerError, WarehouseError
from starlake_dagster_assets.execution.warehouse.urls import DRIVERS, Driver, driver_of, engine_url
from starlake_dagster_assets.project.model.project import Connection

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

__all__ = ["EngineFactory", "has_sql_driver"]

_CONNECT_SECONDS = 15
_CONNECT_ARGS = {
    "postgresql": {"connect_timeout": _CONNECT_SECONDS},
    "redshift": {"connect_timeout": _CONNECT_SECONDS},
    "mysql": {"connect_timeout": _CONNECT_SECONDS},
    "mssql": {"login_timeout": _CONNECT_SECONDS},
    "snowflake": {"login_timeout": _CONNECT_SECONDS},
}
"""Arguments of drivers that would wait for minutes for an unreachable server, by dialect."""


def has_sql_driver(connection: Connection) -> bool:
    """Whether a SQL reader knows the warehouse of a connection, or a dialect of its name is installed."""
    driver = driver_of(connection)
    if driver is None or driver in DRIVERS.values():
        return driver is not None
    from sqlalchemy.dialects import registry
    from sqlalchemy.exc import NoSuchModuleError

    try:
        registry.load(driver.name)
    except NoSuchModuleError:
        return False
    return True


@dataclass(frozen=True)
class EngineFactory:
    """Factory of the SQLAlchemy engine of a connection.

    Attributes:
        connection: The connection.
        explicit_url: Its SQLAlchemy URL, if it differs from that of its own options.
        connect: Returns a connection of the driver, such as one of a Dagster resource; by the URL by default.
    """

    connection: Connection
    explicit_url: str = field(default="", repr=False)
    connect: Callable[[], Any] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> frozenset[str]:
        """The password of the URL, if it has one."""
        try:
            password = self._url().password
        except WarehouseError:
            return frozenset()
        return frozenset({str(password)} if password else ())

    def create(self) -> Engine:
        """Returns a new engine.

        Raises:
            WarehouseError: The driver is not installed, or there is no URL for it. No secret is in the message.
        """
        from sqlalchemy import create_engine
        from sqlalchemy.exc import NoSuchModuleError

        url = self._url()
        try:
            return create_engine(
                url,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=1,
                max_overflow=4,
                **(
                    {"creator": self.connect}
                    if self.connect is not None
                    else {"connect_args": {**_CONNECT_ARGS.get(url.get_dialect().name, {})}}
                ),
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise WarehouseError(self._missing(url, error)) from None

    def _url(self) -> URL:
        from sqlalchemy.engine import URL, make_url
        from sqlalchemy.exc import ArgumentError

        driver = driver_of(self.connection)
        if self.connect is not None and driver is not None:
            return URL.create(driver.name)
        try:
            return make_url(self.explicit_url) if self.explicit_url else engine_url(self.connection)
        except RunnerError as error:
            raise WarehouseError(str(error)) from None
        except (ArgumentError, ValueError):
            text = "expected a SQLAlchemy URL, such as postgresql+psycopg://user@host:5432/database."
            raise WarehouseError(f"the URL of connection {self.connection.name!r} cannot be read; {text}") from None

    def _missing(self, url: URL, error: Exception) -> str:
        """Returns the message about a missing driver, with the extra or package to install."""
        driver = self._driver(url)
        module = getattr(error, "name", None) or url.drivername
        install = (
            f"pip install 'starlake-dagster-assets[{driver.extra}]'" if driver.extra else f"install {driver.install}"
        )
        return f"{module} is not installed, and reading connection {self.connection.name!r} needs it: {install}."

    def _driver(self, url: URL) -> Driver:
        backend = url.get_backend_name()
        found = next((one for one in DRIVERS.values() if one.name.partition("+")[0] == backend), None)
        return found or driver_of(self.connection) or Driver(backend, "", install=f"a SQLAlchemy dialect {backend!r}")
