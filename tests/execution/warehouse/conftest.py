from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.execution.warehouse.bench import WarehouseBench
from tests.fakes.postgres import PostgresServer, find_binaries

_NUMBERS = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql (.ci/run does it)")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture
def bench(postgres_server: PostgresServer, tmp_path) -> Iterator[WarehouseBench]:
    with WarehouseBench(tmp_path, postgres_server, f"warehouse_{next(_NUMBERS)}") as bench:
        yield bench
