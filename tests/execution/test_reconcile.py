# ruff: noqa: E501 - one rule per line
"""The rules of verdicts: rows of the audit first, then locations of files, then a complete log."""

import json
import os
import random
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from starlake_dagster_assets.commands.model import (
    AuditRow,
    CommandExit,
    CommandFailed,
    CommandSucceeded,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.execution.evidence import CommandEnd, Evidence, LogProperties, RequestedTable, TableFiles
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.execution.reconcile import all_loaded, reconcile_load, reconcile_transform
from tests.execution.simulated_loads import Faults, World, verdicts_of
from tests.fakes.growth import growth

TABLE = RequestedTable("raw", "t", "gold", "client", "raw_dir", pattern=r".*\.csv")
FILES = ("a.csv", "b.csv")
STARTED = TableStarted("raw", "t", FILES)
LOADED = TableLoaded("raw", "t", FILES, 4, 4, None)
FAILED = TableFailed("raw", "t", FILES, ("b.csv",), "bad line", reported=True)
UNFINISHED = TableFailed("raw", "t", FILES, ("b.csv",), "no summary")
OTHER = TableStarted("raw", "other", ("o.csv",))
BROKEN = CommandFailed("it broke", 1)
DONE = CommandSucceeded()
SILENT = CommandFailed("nothing known", 0)
PIPE = LogProperties(lossless=True)
SERVICE = LogProperties(ended=True)
CUT = LogProperties(ended=False)
BLIND = LogProperties(ended=False, understood=False)


def row(file="a.csv", success=True, step="LOAD", domain="raw", schema="t", counts=(2, 2, 0), message="no"):
    return AuditRow("job", f"file:/p/ingesting/raw/{file}", domain, schema, success, *counts, 5, message, step)


def second(success=True, message="final write"):
    return row("client", success, "TRANSFORM", "gold", "client", (-1, -1, -1), message)


def at(second, row):
    return replace(row, moment=datetime(2026, 1, 1, 0, 0, second))


def files(before=(), waiting=(), ingesting=(), archived=(), ambiguous=False):
    sizes = dict.fromkeys(before, 100)
    return TableFiles(sizes, frozenset(waiting), frozenset(ingesting), frozenset(archived), ambiguous)


def verdict(*events, code=0, log=PIPE, rows=None, files=None, table=TABLE, sequential=True):
    known = {} if files is None else {("raw", "t"): files}
    ending = CommandEnd(events, CommandExit(code, 1.0), log, rows, known, sequential)
    return reconcile_load([table], ending)["raw", "t"]


AUDIT, PLACES, LOG, NONE = Evidence.AUDIT, Evidence.FILES, Evidence.LOG, Evidence.NONE
BOTH = [row("a.csv"), row("b.csv")]
RULES = {
    # a log without loss
    "loaded": ((STARTED, LOADED, DONE), {}, "loaded", LOG),
    "failed": ((STARTED, FAILED, BROKEN), {"code": 1}, "failed", LOG),
    "exit 1 does not undo a table that landed": ((STARTED, LOADED, BROKEN), {"code": 1}, "loaded", LOG),
    "no line is no file": ((DONE,), {}, "nothing", LOG),
    "a file without summary": ((STARTED, UNFINISHED, DONE), {}, "failed", LOG),
    "a walk that broke": ((BROKEN,), {"code": 1, "log": LogProperties(tables_processed=True, lossless=True)}, "failed", LOG),
    "a walk past others": ((OTHER, BROKEN), {"code": 1, "log": LogProperties(tables_processed=True, lossless=True)}, "nothing", LOG),
    "an unknown log": ((SILENT,), {"log": LogProperties(ended=False, understood=False, lossless=True)}, "unknown", NONE),
    "cancelled": ((STARTED, UNFINISHED, BROKEN), {"code": None}, "failed", LOG),
    # a log that may have lost lines
    "a complete log": ((STARTED, LOADED, DONE), {"log": SERVICE}, "loaded", LOG),
    "a dropped tail, told": ((STARTED, LOADED), {"log": CUT}, "unknown", NONE),
    "a dropped tail, not told": ((OTHER,), {"log": CUT}, "unknown", NONE),
    "a dropped middle": ((OTHER, DONE), {"log": SERVICE}, "unknown", NONE),
    "a dropped announcement": ((LOADED, DONE), {"log": SERVICE}, "unknown", NONE),
    "a list with its files": ((LOADED, DONE), {"log": LogProperties(found=dict.fromkeys(FILES, 9))}, "loaded", LOG),
    "a list with another file": ((LOADED, DONE), {"log": LogProperties(found=dict.fromkeys([*FILES, "c.csv"], 9))}, "unknown", NONE),
    "a list without it": ((OTHER, DONE), {"log": LogProperties(found={"o.csv": 9, "x.json": 9})}, "nothing", LOG),
    "a list with it": ((OTHER, DONE), {"log": LogProperties(found={"o.csv": 9, "a.csv": 9})}, "unknown", NONE),
    "no file at all": ((DONE,), {"log": LogProperties(found={})}, "nothing", LOG),
    "a dropped summary": ((STARTED, UNFINISHED, DONE), {"log": SERVICE}, "unknown", NONE),
    "an error without an end": ((STARTED, FAILED, BROKEN), {"code": 1, "log": CUT}, "unknown", NONE),
    "an error and the end": ((STARTED, FAILED, BROKEN), {"code": 1, "log": LogProperties(found=dict.fromkeys(FILES, 9))}, "failed", LOG),
    "an error, and maybe a lost announcement": ((STARTED, FAILED, BROKEN), {"code": 1, "log": SERVICE}, "unknown", NONE),
    "a walk that broke, told by a service": ((BROKEN,), {"code": 1, "log": LogProperties(found=dict.fromkeys(FILES, 9), failed_before_tables=True)}, "failed", LOG),
    "no line of its load, and exit 1": ((BROKEN,), {"code": 1, "log": LogProperties(found=dict.fromkeys(FILES, 9))}, "unknown", NONE),
    "no log": ((SILENT,), {"log": BLIND}, "unknown", NONE),
    "no log, exit 1": ((BROKEN,), {"code": 1, "log": BLIND}, "unknown", NONE),
    # the audit
    "rows without a log": ((SILENT,), {"log": BLIND, "rows": BOTH}, "loaded", AUDIT),
    "rows and exit 1 without a log": ((BROKEN,), {"code": 1, "log": BLIND, "rows": BOTH}, "failed", AUDIT),
    "rows of a directory": ((SILENT,), {"log": BLIND, "rows": [row(domain="raw_dir")]}, "loaded", AUDIT),
    "a row that failed": ((STARTED, LOADED, DONE), {"rows": [row(), row("b.csv", False)]}, "failed", AUDIT),
    "a final write that failed": ((STARTED, LOADED, DONE), {"rows": [*BOTH, second(False)]}, "failed", AUDIT),
    "a file without a row": ((STARTED, UNFINISHED, DONE), {"rows": [row()]}, "failed", LOG),
    "rows against a lost summary": ((STARTED, UNFINISHED, DONE), {"log": CUT, "rows": BOTH}, "loaded", AUDIT),
    "an error against rows": ((STARTED, FAILED, BROKEN), {"code": 1, "rows": BOTH}, "failed", LOG),
    "no error counts with exit 0": ((STARTED, FAILED, DONE), {"rows": BOTH}, "loaded", AUDIT),
    "an overwrite leaves final writes alone": ((STARTED, UNFINISHED), {"log": CUT, "rows": [second()] * 2}, "loaded", AUDIT),
    "rows, and later ones of another table": ((BROKEN,), {"code": 1, "log": BLIND, "rows": [at(1, row()), at(2, row(schema="u"))]}, "loaded", AUDIT),
    "rows, and ones of the same second": ((BROKEN,), {"code": 1, "log": BLIND, "rows": [at(1, row()), at(1, row(schema="u"))]}, "failed", AUDIT),
    "rows of tables side by side": ((BROKEN,), {"code": 1, "log": BLIND, "rows": [at(1, row()), at(2, row(schema="u"))], "sequential": False}, "failed", AUDIT),
    "no row": ((SILENT,), {"log": BLIND, "rows": []}, "nothing", AUDIT),
    "no row, exit 1": ((BROKEN,), {"code": 1, "log": BLIND, "rows": []}, "failed", AUDIT),
    "no row after a walk": ((BROKEN,), {"code": 1, "log": LogProperties(tables_processed=True), "rows": [row(schema="u")]}, "nothing", AUDIT),
    "an audit that records nothing": ((TableLoaded("raw", "o", ("o.csv",), 1, 1, 0),), {"log": CUT, "rows": []}, "unknown", NONE),
    # locations of files
    "archived": ((SILENT,), {"log": BLIND, "files": files(FILES, archived=FILES)}, "loaded", PLACES),
    "archived, and no row": ((SILENT,), {"log": BLIND, "rows": [], "files": files(FILES, archived=FILES)}, "loaded", PLACES),
    "one in ingesting": ((SILENT,), {"log": BLIND, "files": files(FILES, (), ["b.csv"], ["a.csv"])}, "failed", PLACES),
    "one gone": ((SILENT,), {"log": BLIND, "files": files(FILES, archived=["a.csv"])}, "unknown", NONE),
    "still in stage": ((BROKEN,), {"code": 1, "log": BLIND, "files": files(FILES, FILES)}, "failed", PLACES),
    "still in stage, exit 0": ((SILENT,), {"log": BLIND, "files": files(FILES, FILES)}, "failed", PLACES),
    "stage was empty": ((SILENT,), {"log": BLIND, "files": files()}, "nothing", PLACES),
    "stage was empty, exit 1": ((BROKEN,), {"code": 1, "log": BLIND, "files": files()}, "nothing", PLACES),
    "files of two tables": ((SILENT,), {"log": BLIND, "files": files(ambiguous=True)}, "unknown", NONE),
    "a broken walk, and files": ((BROKEN,), {"code": 1, "log": LogProperties(tables_processed=True), "files": files(FILES, FILES)}, "failed", PLACES),
    "a lost line blames another": ((STARTED, FAILED, BROKEN), {"code": 1, "log": SERVICE, "files": files(FILES, archived=FILES)}, "loaded", PLACES),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    events, facts, status, evidence = RULES[name]
    found = verdict(*events, **facts)
    assert (found.status, found.evidence) == (status, evidence), found.reason
    assert found.status == "loaded" or found.reason


def test_reasons_say_what_is_known():
    assert "b.csv: bad line" in verdict(STARTED, FAILED, BROKEN, code=1).reason
    assert verdict(LOADED, DONE, rows=[row(), row("b.csv", False, message="refused \tat x.Y")]).reason == "refused"
    unknown = verdict(STARTED, UNFINISHED, BROKEN, code=1, log=CUT).reason
    for words in ("b.csv has no summary", "exit code 1", "end of the log is missing", "no audit table", "it broke"):
        assert words in unknown
    assert "SL_LOG_LEVEL" in verdict(SILENT, log=BLIND).reason
    stuck = verdict(SILENT, log=BLIND, code=1, files=files(FILES, (), ["b.csv"], ["a.csv"])).reason
    assert "b.csv left in the area `ingesting`" in stuck


def test_the_audit_completes_counts_but_does_not_invent_them():
    rows = [row("a.csv", counts=(3, 2, 1)), row("b.csv", counts=(1, 1, 0))]
    assert verdict(LOADED, DONE, rows=rows).rejected == 1
    rows = [row("a.csv", counts=(3, 2, -1)), row("b.csv", counts=(1, 1, 0))]
    assert verdict(LOADED, DONE, rows=rows).rejected is None
    assert verdict(LOADED, DONE, rows=rows).input == 4


def test_a_load_without_rows_is_not_loaded_in_silence():
    zero = TableLoaded("raw", "t", ("a.csv",), 0, 0, None)
    one = files(["a.csv"], archived=["a.csv"])
    appends = RequestedTable("raw", "t", "gold", "client", pattern=r".*", zero_is_loss=True, header=False)
    lone = row(counts=(0, 0, -1))
    assert "100 bytes" in verdict(zero, DONE, files=one, table=appends).reason  # JSON, or without a header
    headed = RequestedTable("raw", "t", "gold", "client", pattern=r".*", zero_is_loss=True)
    assert verdict(zero, DONE, files=one, table=headed).warnings  # maybe a header alone
    assert "no TRANSFORM row" in verdict(zero, DONE, rows=[lone]).reason
    assert verdict(zero, DONE, rows=[lone, second()]).status == "loaded"  # an upsert of rows that are there
    counted = TableLoaded("raw", "t", ("a.csv",), 5, 5, None)
    assert verdict(counted, DONE, rows=[row(counts=(5, 5, -1))]).warnings == ()  # a loader of one step
    two_steps = [row(counts=(5, 5, -1)), row("u", step="TRANSFORM", domain="gold", schema="u")]
    assert "no TRANSFORM row" in verdict(counted, DONE, rows=two_steps).warnings[0]
    spark = TableLoaded("raw", "t", ("a.csv",), 3, 0, 3)
    assert verdict(spark, DONE, rows=[row(counts=(3, 0, 3))], files=one, table=appends).status == "loaded"


def test_rows_prove_a_table_while_its_load_runs():
    assert not all_loaded(TABLE, FILES, [row("a.csv")])
    assert all_loaded(TABLE, FILES, BOTH)
    assert not all_loaded(TABLE, FILES, [*BOTH, second(success=False)])


def test_a_command_that_could_not_be_started_fails_all():
    ending = CommandEnd((CommandFailed("no such program"),), None)
    assert reconcile_load([TABLE], ending)["raw", "t"].reason == "no such program"
    assert reconcile_transform("kpi", "r", ending).reason == "no such program"


GOOD = row("r", step="TRANSFORM", domain="kpi", schema="r")
BAD = row("r", success=False, step="TRANSFORM", domain="KPI", schema="R", message="sql")
TRANSFORMS = {
    "the end of the log": (DONE, 0, SERVICE, None, "loaded", LOG),
    "a row": (SILENT, 0, CUT, [GOOD], "loaded", AUDIT),
    "neither": (SILENT, 0, CUT, [], "unknown", NONE),
    "a row that failed": (DONE, 0, SERVICE, [BAD], "failed", AUDIT),
    "an exit code": (BROKEN, 1, PIPE, [GOOD], "failed", LOG),
    "an exit code and no log": (BROKEN, 1, CUT, None, "failed", NONE),
    "its end was not seen": (BROKEN, None, CUT, None, "unknown", NONE),
    "its end was not seen, and a row": (BROKEN, None, CUT, [GOOD], "loaded", AUDIT),
    "killed on this machine": (BROKEN, None, LogProperties(ended=False, lossless=True), None, "failed", LOG),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    event, code, log, rows, status, evidence = TRANSFORMS[name]
    found = reconcile_transform("kpi", "r", CommandEnd((event,), CommandExit(code, 1.0), log, rows))
    assert (found.status, found.evidence) == (status, evidence)


# --------------------------------------------------------------------------------------------- real processes

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
RECORDED = {
    "load-domain-native": {"customers": "loaded", "orders": "loaded", "products": "loaded"},
    "load-part-failure-native": {"customers": "failed", "orders": "loaded", "products": "loaded"},
    "load-rejects-spark": {"customers": "loaded", "orders": "loaded"},
    "load-rejects-all-on-error-spark": {"customers": "failed"},
    "load-no-file": {"orders": "nothing"},
    "load-adaptive-no-strategy": {"place": "failed", "point": "failed"},
    "load-expectation-fail-on-error": {"good": "loaded", "poor": "failed"},
    "load-json-native-zero-rows": {"basket": "failed"},
    "load-log-level-error": {"other": "loaded", "reading": "failed"},
    "load-log-level-warn": {"other": "loaded", "reading": "failed"},
    "load-native-csv-conversion-error": {"big": "failed"},
    "load-native-csv-error-many-lines": {"big": "failed", "fine": "loaded"},
    "load-overlapping-file": {"bd": "loaded", "bday": "nothing"},
    "load-overwrite-second-time": {"a": "loaded"},
    "load-two-files-order": {"a": "loaded", "b": "loaded"},
    "load-sigterm": {"t": "failed"},
    "load-sigterm-jvm-only": {"t": "failed"},
}
WORDS = {
    "load-adaptive-no-strategy": ("point", "Could not find valid strategy for point"),
    "load-native-csv-conversion-error": ("big", 'Could not convert string "x1"'),
    "load-log-level-error": ("reading", 'column "id"'),
    "load-json-native-zero-rows": ("basket", "no row was written although basket_1.json has"),
}


def recorded(name, *, lossless, audit, listed):
    """The verdicts on the tables of a recorded load, with or without its audit and its files."""
    folder = TRANSCRIPTS / name
    run = json.loads((folder / "run.json").read_text())
    lines = [line for part in ("stdout", "stderr") for line in (folder / part).read_bytes().decode("utf-8", "replace").splitlines()]  # fmt: skip
    domain, tables = run["argv"][2], RECORDED[name]
    parser = OutputParser([(domain, table) for table in tables])
    events = [event for line in lines for event in parser.feed(line)]
    events += parser.finish(run["exit"])
    after = run.get("after") or {}
    rows = [
        AuditRow("job", one["PATHS"], one["DOMAIN"], one["SCHEMA"], one["SUCCESS"], one["COUNT"], one["COUNTACCEPTED"],
                 one["COUNTREJECTED"], 1, one["MESSAGE"], one["STEP"])
        for one in after.get("tables", {}).get("audit.audit", ())
    ]  # fmt: skip
    places = {area: {path.rsplit("/", 1)[-1] for path in after.get("files", ()) if f"/{area}/" in path} for area in ("stage", "ingesting", "archive")}  # fmt: skip
    expected, facts = [], {}
    for table in tables:
        pattern = rf"{table}[_0-9].*"
        expected.append(
            RequestedTable(domain, table, domain, table, pattern=pattern, zero_is_loss=True, header=table != "basket")
        )
        mine = {area: {one for one in names if one.startswith(f"{table}_")} for area, names in places.items()}
        shared = name == "load-overlapping-file"
        before = {} if shared else dict.fromkeys(set().union(*mine.values()), 100)
        facts[domain, table] = TableFiles(before, *map(frozenset, mine.values()), ambiguous=shared)
    log = parser.log(lossless=lossless)
    ending = CommandEnd(events, CommandExit(run["exit"], 1.0), log, rows if audit else None, facts if listed else {})
    return {one.table: found for one, found in zip(expected, reconcile_load(expected, ending).values(), strict=True)}


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("lossless", [True, False], ids=["pipe", "service"])
def test_a_recorded_load(name, lossless):
    has_after = "after" in json.loads((TRANSCRIPTS / name / "run.json").read_text())
    for audit in (True, False) if has_after else (False,):
        for listed in (True, False) if has_after else (False,):
            found = recorded(name, lossless=lossless, audit=audit, listed=listed)
            for table, status in RECORDED[name].items():
                allowed = {status}
                if not (audit or listed):  # the log alone: what it does not name is not known
                    allowed |= {"unknown"} if "log-level" in name or "sigterm" in name or table == "bday" else set()
                    allowed |= {"failed"} if "log-level" in name else set()
                assert found[table].status in allowed, (table, audit, listed, found[table])
            if name in WORDS and (lossless or listed):
                table, words = WORDS[name]
                assert found[table].status == "unknown" or words in found[table].reason, found[table].reason


# ------------------------------------------------------------------------------------------------ random loads

EXECUTIONS = int(os.environ.get("STARLAKE_TEST_EXECUTIONS", "1500"))
"""Random executions; the whole grid in 10,000: `STARLAKE_TEST_EXECUTIONS=10000 pytest tests/execution/test_reconcile.py`."""
ENVIRONMENTS = ("pipe", "service")
READERS = ("audit", "none", "fails")
LISTINGS = ("listed", "hidden", "adopted")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("listing", LISTINGS)
def test_rows_against_verdicts(environment, reader, listing):
    cells = len(ENVIRONMENTS) * len(READERS) * len(LISTINGS)
    dice = random.Random(f"{environment}-{reader}-{listing}")
    seen = set()
    for _ in range(-(-EXECUTIONS // cells)):
        world = World.random(dice)
        faults = Faults.random(dice, environment=environment, reader=reader, listing=listing)
        for table, (found, evidence_existed) in verdicts_of(world, faults).items():
            wrote, took = world.rows_of(table), world.files_taken_of(table)
            told = (world, faults, table, found)
            seen.add(found.status)
            uncounted = world.is_empty(table) and found.accepted is None  # only counts tell that a file gave no row
            assert not (found.status == "loaded" and not (wrote or uncounted)), told
            assert not (found.status == "loaded" and world.lost_of(table)), told
            assert not (found.status == "nothing" and (wrote or took)), told
            assert not (found.status == "unknown" and evidence_existed), told
            assert not (found.status == "loaded" and found.evidence is Evidence.NONE), told
    assert {"loaded", "nothing", "failed"} <= seen or environment == "service"


def test_judging_a_load_grows_with_its_tables():
    def judge(tables):
        names = [f"t{number}" for number in range(tables)]
        events = [TableLoaded("raw", name, ("a.csv",), 2, None, None) for name in names]
        rows = [row(schema=name, counts=(2, 1, 1)) for name in names]
        ending = CommandEnd([*events, CommandSucceeded()], CommandExit(0, 1.0), rows=rows)
        verdicts = reconcile_load([RequestedTable("raw", name, "gold", name) for name in names], ending)
        assert [one.accepted for one in verdicts.values()] == [1] * tables

    assert growth(judge, 50, 10) < 1.1
