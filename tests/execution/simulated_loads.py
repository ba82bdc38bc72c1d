"""Random loads: what a program does to a warehouse and to files, and what is seen of it through an environment.

A load walks through its tables. It moves the files of a table to `ingesting`, writes the rows and the audit rows of one
file after the other, and moves each file that landed to `archive`. It may end early at any step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from starlake_dagster_assets.commands.model import AuditRow, CommandExit
from starlake_dagster_assets.execution.evidence import CommandEnd, RequestedTable, TableFiles, TableResult
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.execution.reconcile import reconcile_load

__all__ = ["Faults", "World", "verdicts_of"]

AT = "26/01/01 00:00:00 "
_BYTES = 100


@dataclass
class Table:
    """A table of a load: its files, and how the loader does."""

    name: str
    files: dict[str, Literal["good", "bad", "empty"]]
    """`bad` is rejected whole, `empty` gives no row although it has content."""
    kind: Literal["append", "overwrite", "spark"] = "append"


@dataclass
class World:
    """One execution of a load, as it really was."""

    tables: list[Table]
    stops_after: int | None = None
    """Steps until the program is killed; None = never."""
    walk_breaks: bool = False
    lines: list[str] = field(default_factory=list)
    audit: list[AuditRow] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    landed: set[str] = field(default_factory=set)
    exit_code: int = 0

    @classmethod
    def random(cls, dice: Random) -> World:
        tables = []
        for number in range(dice.randint(1, 4)):
            count = dice.choice((0, 1, 1, 2, 3))
            kind = dice.choice(("append", "append", "overwrite", "spark"))
            choices = ("good", "good", "good", "bad", "empty") if kind == "append" else ("good", "good", "good", "bad")
            tables.append(
                Table(f"t{number}", {f"t{number}-{n}.json": dice.choice(choices) for n in range(count)}, kind)
            )
        steps = 3 * sum(len(table.files) for table in tables) + 2 * len(tables)
        stops = dice.randint(0, steps) if dice.random() < 0.25 else None
        world = cls(tables, stops, walk_breaks=dice.random() < 0.08)
        world.run()
        return world

    def rows_of(self, table: str) -> int:
        """Rows that the load wrote."""
        return self.rows.get(table, 0)

    def is_empty(self, table: str) -> bool:
        """Whether its files give no row although they have content."""
        return all(state == "empty" for one in self.tables if one.name == table for state in one.files.values())

    def files_taken_of(self, table: str) -> bool:
        """Whether a file of it was there."""
        return any(one.files for one in self.tables if one.name == table)

    def lost_of(self, table: str) -> list[str]:
        """Files of which no row was written although they have content."""
        files = next(one.files for one in self.tables if one.name == table)
        return [name for name, state in files.items() if name not in self.landed and state != "empty"]

    # ------------------------------------------------------------------------------------------- the program

    def run(self) -> None:
        self.places = {name: "stage" for table in self.tables for name in table.files}
        self._left = self.stops_after
        try:
            self._walk()
        except InterruptedError:
            self.exit_code = 137

    def _walk(self) -> None:
        listed = ",".join(f"FileInfo(file:/p/stage/d/{name},{_BYTES},2026-01-01T00:00:00Z)" for name in self.places)
        self._step()
        self._info("IngestionWorkflow", f"Found {listed}" if listed else "No Files Found.")
        errors: list[str] = []
        if self.walk_breaks and self.places:
            self._error("IngestionWorkflow", "Error during ingestion")
            self.lines.append("java.lang.RuntimeException: Could not find valid strategy")
            errors.append("java.lang.RuntimeException: Could not find valid strategy")
        else:
            for table in self.tables:
                self._load(table, errors)
        if errors:
            self.exit_code = 1
            self._error("IngestionWorkflow", "Some tables failed to be loaded")
            self.lines.append(f"Starlake failed to execute command with args load{AT}ERROR Main: {errors[0]}")
            return
        self._info("IngestionWorkflow", "All tables loaded successfully")
        self._info("Main", "Successfully load --domains d")

    def _load(self, table: Table, errors: list[str]) -> None:
        if not table.files:
            return
        self._step()
        self._info("IngestionWorkflow", f"Ingest resolved file : {','.join(table.files)} as table d.{table.name}")
        self.places |= dict.fromkeys(table.files, "ingesting")
        for name, state in table.files.items():
            self._step()
            if state == "bad":
                error = f"java.sql.SQLException: could not read {name}"
                self._audit(table, name, success=False, count=0, message=error)
                self._error("JsonIngestionJob", error)
                self._error("IngestionWorkflow", error)
                errors.append(error)
                continue
            rows = 3 if state == "good" else 0
            self.rows[table.name] = self.rows_of(table.name) + rows
            self.landed |= {name} if rows else set()
            if rows and table.kind != "spark":
                self._audit(table, table.name, step="TRANSFORM", count=-1)
            if table.kind != "overwrite":
                self._audit(table, name, count=rows, rejected=0 if table.kind == "spark" else -1)
            self._step()
            if table.kind != "overwrite":
                rejected = 0 if table.kind == "spark" else -1
                self._info(
                    "JsonIngestionJob",
                    f"ingestion-summary -> files: [file:/p/ingesting/d/{name}], domain: d, schema: {table.name}, "
                    f"input: {rows}, accepted: {rows}, rejected:{rejected}",
                )
            self._step()
            self.places[name] = "archive"
            source, target = (f"file:/p/{area}/d/{name}" for area in ("ingesting", "archive"))
            self._info("IngestionWorkflow", f"Backing up file {source} to {target}")

    def _step(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise InterruptedError

    def _audit(
        self, table: Table, path: str, *, success: bool = True, count: int, step: str = "LOAD", rejected: int = -1,
        message: str = "success",
    ) -> None:  # fmt: skip
        where = f"file:/p/ingesting/d/{path}" if step == "LOAD" else path
        self.audit.append(AuditRow("job", where, "d", table.name, success, count, count, rejected, 1, message, step))

    def _info(self, logger: str, text: str) -> None:
        self.lines.append(f"{AT}INFO {logger}: {text}")

    def _error(self, logger: str, text: str) -> None:
        self.lines.append(f"{AT}ERROR {logger}: {text}")


@dataclass
class Faults:
    """What is seen of a load."""

    environment: str
    reader: str
    listing: str
    keep: float = 1.0
    """Chance of a line to arrive."""
    tail: int = 0
    """Lines missing at the end."""
    middle: int = 0
    """Lines missing somewhere."""
    loses_exit_code: bool = False
    level: Literal["info", "error"] = "info"
    seed: int = 0

    @classmethod
    def random(cls, dice: Random, *, environment: str, reader: str, listing: str) -> Faults:
        faults = cls(environment, reader, listing, loses_exit_code=dice.random() < 0.05, seed=dice.randint(0, 1 << 30))
        if environment == "pipe":
            return faults
        loss = dice.choice(("none", "tail", "middle", "some", "all", "level"))
        faults.tail = dice.randint(1, 12) if loss == "tail" else 0
        faults.middle = dice.randint(1, 6) if loss == "middle" else 0
        faults.keep = {"some": 0.7, "all": 0.0}.get(loss, 1.0)
        faults.level = "error" if loss == "level" else "info"
        return faults

    def seen(self, lines: list[str]) -> list[str]:
        """The lines that arrive."""
        dice = Random(self.seed)
        kept = lines[: len(lines) - self.tail] if self.tail else [*lines]
        if self.middle and len(kept) > 2:
            start = dice.randint(0, len(kept) - 2)
            del kept[start : min(start + self.middle, len(kept) - 1)]
        kept = [line for line in kept if self.level == "info" or " INFO " not in line]
        return [line for line in kept if dice.random() < self.keep]


def verdicts_of(world: World, faults: Faults) -> dict[str, tuple[TableResult, bool]]:
    """The verdict on each table, and whether there was evidence of its result."""
    expected = [
        RequestedTable("d", table.name, "d", table.name, pattern=rf"{table.name}-.*",
                       zero_is_loss=table.kind == "append", header=False)
        for table in world.tables
    ]  # fmt: skip
    parser = OutputParser([("d", table.name) for table in world.tables])
    lines = faults.seen(world.lines)
    code = None if faults.loses_exit_code else world.exit_code
    events = [event for line in lines for event in parser.feed(line)]
    events += parser.finish(code)
    lossless = faults.environment == "pipe"
    log = parser.log(lossless=lossless)
    rows = world.audit if faults.reader == "audit" else None
    files = {} if faults.listing == "hidden" else {("d", one.name): _files(world, one, faults) for one in world.tables}
    found = reconcile_load(expected, CommandEnd(events, CommandExit(code, 1.0), log, rows, files))
    whole = parser.understood and (lossless or (lines == world.lines and world.exit_code != 137))
    known = rows is not None or faults.listing == "listed" or (whole and code is not None)
    return {name: (verdict, known) for (_, name), verdict in found.items()}


def _files(world: World, table: Table, faults: Faults) -> TableFiles:
    areas = ("stage", "ingesting", "archive")
    at = {area: frozenset(name for name in table.files if world.places[name] == area) for area in areas}
    if faults.listing == "adopted":  # the load had begun before the first listing
        return TableFiles({}, at["stage"], at["ingesting"], frozenset(), ambiguous=True)
    return TableFiles(dict.fromkeys(table.files, _BYTES), at["stage"], at["ingesting"], at["archive"])
