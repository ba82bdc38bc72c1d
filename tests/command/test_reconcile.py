"""Events first, then the audit."""

from starlake_dagster_assets.command.model import (
    AuditRow,
    CommandFailed,
    CommandSucceeded,
    RunResult,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.command.reconcile import Ending, Expected, reconcile_load, reconcile_transform
from tests.fakes.growth import growth

TABLE = Expected("raw", "t", "gold", "client", "raw_dir")
STARTED = TableStarted("raw", "t", ("a.csv", "b.csv"))
LOADED = TableLoaded("raw", "t", ("a.csv", "b.csv"), 4, 4, None)
FAILED = TableFailed("raw", "t", ("a.csv", "b.csv"), ("b.csv",), "bad line")
BROKEN = CommandFailed("it broke", 1)


def row(file="a.csv", success=True, step="LOAD", domain="raw", schema="t", counts=(2, 2, 0), message="no"):
    return AuditRow("job", f"file:/p/ingesting/raw/{file}", domain, schema, success, *counts, 5, message, step)


def verdict(*events, code=0, rows=None, walked=False):
    ending = Ending(events, RunResult(code, 1.0), walked, rows=rows)
    return reconcile_load([TABLE], ending)["raw", "t"]


def test_the_log_alone():
    assert verdict(STARTED, LOADED, CommandSucceeded()).status == "loaded"
    assert verdict(STARTED, FAILED, BROKEN, code=1).status == "failed"
    assert "b.csv: bad line" in verdict(STARTED, FAILED, BROKEN, code=1).reason


def test_exit_1_does_not_undo_a_table_that_landed():
    assert verdict(STARTED, LOADED, BROKEN, code=1).status == "loaded"


def test_the_audit_completes_counts_but_does_not_invent_them():
    rows = [row("a.csv", counts=(3, 2, 1)), row("b.csv", counts=(1, 1, 0))]
    assert verdict(LOADED, CommandSucceeded(), rows=rows).rejected == 1
    rows = [row("a.csv", counts=(3, 2, -1)), row("b.csv", counts=(1, 1, 0))]
    assert verdict(LOADED, CommandSucceeded(), rows=rows).rejected is None
    assert verdict(LOADED, CommandSucceeded(), rows=rows).input == 4


def test_the_audit_can_turn_a_success_into_a_failure():
    rows = [row("a.csv"), row("b.csv", success=False, message="refused")]
    assert verdict(LOADED, CommandSucceeded(), rows=rows).reason == "refused"
    second = row("client", success=False, step="TRANSFORM", domain="gold", schema="client", message="final write")
    assert verdict(LOADED, CommandSucceeded(), rows=[row("a.csv"), row("b.csv"), second]).reason == "final write"


def test_the_audit_does_not_turn_a_failure_into_a_success_when_a_file_lacks_its_row():
    assert verdict(FAILED, CommandSucceeded(), rows=[row("a.csv")]).status == "failed"
    assert verdict(FAILED, BROKEN, code=1, rows=[row("a.csv"), row("b.csv")]).status == "failed"
    assert verdict(FAILED, CommandSucceeded(), rows=[row("a.csv"), row("b.csv")]).status == "loaded"


def test_no_line_and_no_row_is_no_file():
    assert verdict(CommandSucceeded()).status == "nothing"
    assert verdict(CommandSucceeded(), rows=[]).status == "nothing"
    assert verdict(BROKEN, code=1, walked=True).status == "nothing"
    assert verdict(BROKEN, code=1).status == "failed"
    assert verdict(CommandFailed("cancelled"), code=None).status == "failed"


def test_an_unknown_log_is_decided_by_the_audit():
    silent = CommandFailed("nothing known", 0)
    assert verdict(silent, rows=[row("a.csv", domain="raw_dir")]).files == ("a.csv",)
    assert verdict(silent, rows=[row("a.csv"), row("b.csv", success=False)]).status == "failed"
    assert verdict(silent, code=1, rows=[row("a.csv")]).status == "failed"


def test_a_command_that_could_not_be_started_fails_all():
    ending = Ending((CommandFailed("no such program"),), None)
    assert reconcile_load([TABLE], ending)["raw", "t"].reason == "no such program"
    assert reconcile_transform("kpi", "r", ending).reason == "no such program"


def test_transforms():
    done = RunResult(0, 1.0)
    good = row("r", step="TRANSFORM", domain="kpi", schema="r")
    bad = row("r", success=False, step="TRANSFORM", domain="KPI", schema="R", message="sql")
    silent = CommandFailed("ended with 0", 0)
    assert reconcile_transform("kpi", "r", Ending((CommandSucceeded(),), done)).status == "loaded"
    assert reconcile_transform("kpi", "r", Ending((silent,), done, rows=[good])).status == "loaded"
    assert reconcile_transform("kpi", "r", Ending((silent,), done, rows=[])).status == "failed"
    assert reconcile_transform("kpi", "r", Ending((CommandSucceeded(),), done, rows=[bad])).reason == "sql"
    assert reconcile_transform("kpi", "r", Ending((BROKEN,), RunResult(1, 1.0), rows=[good])).status == "failed"


def test_silence_means_no_file_only_where_the_log_is_understood():
    silent = CommandFailed("nothing known", 0)
    for rows, status in ((None, "failed"), ([], "nothing")):
        ending = Ending((silent,), RunResult(0, 1.0), understood=False, rows=rows)
        assert reconcile_load([TABLE], ending)["raw", "t"].status == status


def test_judging_a_load_grows_with_its_tables():
    def judge(tables):
        names = [f"t{number}" for number in range(tables)]
        events = [TableLoaded("raw", name, ("a.csv",), 2, None, None) for name in names]
        rows = [row(schema=name, counts=(2, 1, 1)) for name in names]
        ending = Ending([*events, CommandSucceeded()], RunResult(0, 1.0), rows=rows)
        verdicts = reconcile_load([Expected("raw", name, "gold", name) for name in names], ending)
        assert [one.accepted for one in verdicts.values()] == [1] * tables

    assert growth(judge, 50, 10) < 1.1
