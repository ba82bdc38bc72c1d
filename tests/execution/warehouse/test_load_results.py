"""Random executions on a real PostgreSQL: whatever happens to the log, a verdict is what the warehouse holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
import sqlalchemy as sa

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import WarehouseError
from starlake_dagster_assets.execution.backends.fake import FakeHandle, Script, loaded_lines
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.execution.warehouse.reader_factory import warehouse_reader
from starlake_dagster_assets.execution.warehouse.sql import SqlReader
from tests.execution.warehouse.bench import AUDIT, WarehouseBench

TABLES = ("a", "b", "c")
DEEDS = ("land", "land", "land", "reject", "fail")
LOGS = ("whole", "no tail", "holes", "none")
ACCESS = {"reader": 150, "unreachable": 300, "none": 300}
"""Executions by access to the warehouse."""
AT = "26/01/01 00:00:00"


class Unreachable(SqlReader):
    """A warehouse that does not answer."""

    def _connected(self):
        raise WarehouseError("the server does not answer")


class Killed(Exception):
    """The program ends at once."""


class Engine:
    """Writes rows and audit as the program does, and prints lines of which some are lost."""

    def __init__(self, con: sa.Connection, reader: WarehouseReader | None, rng: Random, log: str, job: str) -> None:
        self._con, self._reader, self._rng, self._log, self._job = con, reader, rng, log, job
        self._now = datetime(2026, 1, 1)
        self._steps = rng.randint(0, 12) if rng.random() < 0.3 else 1_000
        self._two_steps = rng.random() < 0.5
        self.deeds = {table: [rng.choice(DEEDS) for _ in range(rng.choice((0, 1, 1, 2)))] for table in TABLES}
        self.landed: dict[str, int] = dict.fromkeys(TABLES, 0)
        self.last_row: dict[str, datetime] = {}
        self.code = 0
        self.complete = True
        """Whether the program came to its end, and all lines arrived."""

    capabilities = RunnerCapabilities()

    def warehouse_reader(self) -> WarehouseReader | None:
        return self._reader

    def start(self, command: Command) -> FakeHandle:
        if command.name != "load":
            return FakeHandle(Script([f"{AT} INFO Main: Successfully stage"]))
        names = [f"{table}-{number}.csv" for table in TABLES for number in range(len(self.deeds[table]))]
        found = ",".join(f"FileInfo(file:/p/stage/sales/{name},13,2026-01-01T00:00:00Z)" for name in names)
        lines = [f"{AT} INFO IngestionWorkflow: {f'Found {found}' if found else 'No Files Found.'}"]
        ended, typed = True, " ".join(command.argv)
        try:
            for table in TABLES:
                self._load(table, lines)
            if self.code:
                lines.append(f"{AT} ERROR IngestionWorkflow: Some tables failed to be loaded")
                lines.append(f"Starlake failed to execute command with args {typed}{AT} ERROR Main: Conversion Error")
            else:
                lines.append(f"{AT} INFO IngestionWorkflow: All tables loaded successfully")
                lines.append(f"{AT} INFO Main: Successfully {typed}")
        except Killed:
            self.code, ended = self._rng.choice((1, 137, 143)), False
        seen = self._seen(lines)
        self.complete = ended and seen == lines
        return FakeHandle(Script(seen, self.code))

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Killed

    def _load(self, table: str, lines: list[str]) -> None:
        self._step()
        names = [f"{table}-{number}.csv" for number in range(len(self.deeds[table]))]
        if names:
            announced = f"Ingest resolved file : {','.join(names)} as table sales.{table}"
            lines.append(f"{AT} INFO IngestionWorkflow: {announced}")
        for name, deed in zip(names, self.deeds[table], strict=True):
            self._now += timedelta(seconds=self._rng.choice((0.1, 0.4, 1.5)))
            self._step()
            if deed == "fail":
                self.code = 1
                self._audit(table, name, (-1, -1, -1), error="Conversion Error")
                loggers = ("DsvIngestionJob", "IngestionWorkflow")
                lines += [f"{AT} ERROR {logger}: Conversion Error in {name}" for logger in loggers]
                continue
            accepted, rejected = self._rng.randint(1, 3), 1 if deed == "reject" else 0
            self._con.exec_driver_sql(f"INSERT INTO sales.{table} VALUES ('{self._job}', '{name}')")
            self.landed[table] += 1
            if self._two_steps:
                self._audit(table, table, (-1, -1, -1), step="TRANSFORM")
            self._step()
            self._audit(table, name, (accepted + rejected, accepted, rejected))
            lines += loaded_lines("sales", table, file=name, accepted=accepted, rejected=rejected)[1:]

    def _audit(self, table: str, path: str, counts: tuple[int, ...], *, step: str = "LOAD", error: str = "") -> None:
        self.last_row[table] = moment = self._now.replace(microsecond=0)
        self._con.exec_driver_sql(
            "INSERT INTO audit.audit VALUES (%s, %s, 'sales', %s, %s, %s, %s, %s, %s, 1, %s, %s)",
            (self._job, path, table, not error, *counts, moment, error, step),
        )

    def _seen(self, lines: Sequence[str]) -> list[str]:
        if self._log == "no tail":
            return list(lines[: self._rng.randint(0, max(0, len(lines) - 1))])
        if self._log == "holes":
            return [line for line in lines if self._rng.random() > 0.4]
        return [] if self._log == "none" else list(lines)

    def wrong(self, table: str, outcome: Outcome) -> bool:
        """Whether a result is not what the warehouse holds."""
        files, landed = self.deeds[table], self.landed[table]
        whole = bool(files) and landed == len(files)
        if outcome.status == "materialized":
            return not whole
        if outcome.status == "nothing":
            return bool(files)
        if outcome.status == "unknown":
            return self.complete or type(self._reader) is SqlReader
        if whole and self.code:  # the last table of a load that broke off: nothing says that it has no more files
            newest = max(self.last_row.values(), default=None)
            return self.complete or (table in self.last_row and self.last_row[table] != newest)
        return whole or not (files or self.code)


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("access", ACCESS)
def test_verdicts_are_what_the_warehouse_holds(access: str, log: str, bench: WarehouseBench):
    source = bench.project(dict.fromkeys(TABLES, "id,v\n1,x\n"))
    tables = ";".join(f"CREATE TABLE sales.{name} (job TEXT, file TEXT)" for name in TABLES)
    bench.execute(f"{AUDIT}; CREATE SCHEMA sales; {tables}")
    found = warehouse_reader(source.model)
    assert isinstance(found, SqlReader)
    unreachable = Unreachable(source.model, source.model.application.connections["pg"], found._factory)
    reader = {"reader": found, "unreachable": unreachable, "none": None}[access]
    rng = Random(f"{access} {log}")
    wrong: list[str] = []
    seen: dict[str, int] = {}
    with bench.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as con:
        for number in range(ACCESS[access]):
            engine = Engine(con, reader, rng, log, f"job{number}-2")
            told = execute_selection(source, [f"sales.{name}" for name in TABLES], engine, RunSettings(f"job{number}"))
            last = {item.node.raw.rpartition(".")[2]: item for item in told if isinstance(item, Outcome)}
            for table in TABLES:
                seen[last[table].status] = seen.get(last[table].status, 0) + 1
                if engine.wrong(table, last[table]):
                    done = f"{engine.landed[table]} of {len(engine.deeds[table])} files, exit code {engine.code}"
                    wrong.append(f"{number} {table}: {last[table].status} with {done}: {last[table].reason}")
    assert wrong == [], seen
    rows = {name: bench.execute(f"SELECT count(*) FROM sales.{name}")[0][0] for name in TABLES}
    assert all(rows.values()), "nothing was written"
    assert access != "reader" or seen.keys() == {"materialized", "nothing", "failed"}
