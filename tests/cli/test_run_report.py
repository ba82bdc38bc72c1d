"""Totals of `starlake-dagster run`."""

import json

import pytest

from starlake_dagster_assets.cli.run_report import report_for
from starlake_dagster_assets.execution.outcome import FailedCommand


def test_the_totals_have_failed_commands_and_what_has_no_result(capsys: pytest.CaptureFixture[str]):
    for as_json in (False, True):
        with report_for(["sales.orders"], None, as_json=as_json, left_out=["sales.cust"]) as report:
            report.failed_commands.append(FailedCommand((), "exit code 1", "load --domains sales"))
        out = capsys.readouterr().out
        if as_json:
            found = json.loads(out)
            assert found["failed_commands"] == [{"command": "load --domains sales", "reason": "exit code 1"}]
            assert (found["without_result"], found["left_out"]) == (["sales.orders"], ["sales.cust"])
        else:
            expected = "0 assets materialized, 0 failed, 0 skipped, 1 without a result, 1 command failed, 1 left out"
            assert out.splitlines()[-1] == expected
