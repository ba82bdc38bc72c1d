from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.errors import CommandError


def test_the_commands_are_what_the_program_accepts():
    assert build.stage("sales", ["a", "b"]).argv == ("stage", "--domains", "sales", "--tables", "a,b")
    assert build.stage("sales").argv == ("stage", "--domains", "sales")
    moment = datetime(2024, 3, 1, 11, 0, tzinfo=timezone(timedelta(hours=1)))
    command = build.load("sales", ["a"], scheduled_date=moment, job_id="run-1")
    assert command.argv == (
        *("load", "--domains", "sales", "--tables", "a"),
        *("--scheduledDate", "2024-03-01T10:00:00+0000"),
    )
    assert command.env["SL_JOB_ID"] == "run-1" and command.job_id == "run-1"
    options = {"country": "FR", "day": "2024-03-01T00:00:00"}
    assert build.transform("kpi.revenue", options).args == (
        *("--name", "kpi.revenue"),
        *("--options", "country=FR,day=2024-03-01T00:00:00"),
    )
    assert build.transform("kpi.revenue", {}).args == ("--name", "kpi.revenue")


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (lambda: build.transform("kpi.a", {"list": "a,b"}), "'list'"),
        (lambda: build.transform("kpi.a", {"a=b": "c"}), "'a=b'"),
        (lambda: build.transform("kpi.a", {"a": "b\nc"}), "'a'"),
        (lambda: build.transform("nodomain"), "nodomain"),
        (lambda: build.load("sales", []), "sales"),
        (lambda: build.load("sales", ["a,b"]), "a,b"),
        (lambda: build.load("sales", [""]), "table"),
        (lambda: build.stage("--help"), "--help"),
        (lambda: build.stage(" "), "domain"),
        (lambda: build.transform("kpi.a", scheduled_date=datetime(2024, 1, 1)), "time zone"),
        (lambda: build.load("sales", ["x" * 90] * 2000), "2000 tables"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(wrong, names):
    with pytest.raises(CommandError, match=names):
        wrong()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=4))
def test_accepted_options_read_back_as_they_were_given(options):
    try:
        args = build.transform("kpi.a", options).args
    except CommandError:
        return
    assert not options or dict(pair.split("=", 1) for pair in args[-1].split(",")) == options
