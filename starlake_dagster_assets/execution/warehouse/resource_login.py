"""Logs in through a Dagster resource that a deployment already has, such as a `SnowflakeResource`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["client_of", "connect_by", "has_client", "is_supported"]


def is_supported(resource: Any) -> bool:
    """Whether a resource provides a client (`get_client`) or connections (`get_connection`), as a context manager."""
    return has_client(resource) or callable(getattr(resource, "get_connection", None))


def has_client(resource: Any) -> bool:
    """Whether a resource provides a client, as a `BigQueryResource` does."""
    return callable(getattr(resource, "get_client", None))


def client_of(resource: Any) -> Callable[[], Any]:
    """Returns a function that returns the client of a resource."""

    def client() -> Any:
        with resource.get_client() as found:
            return found

    return client


def connect_by(resource: Any) -> Callable[[], Any] | None:
    """Returns a function that returns a new connection of a resource; None if the resource provides none."""
    get_connection = getattr(resource, "get_connection", None)
    if not callable(get_connection):
        return None
    managers: list[Any] = []  # a connection is open as long as its context manager is; the engine closes it

    def connect() -> Any:
        manager: Any = get_connection()
        found = manager.__enter__()
        managers.append(manager)
        return getattr(found, "dbapi_connection", None) or found  # of a resource that uses SQLAlchemy itself

    return connect
