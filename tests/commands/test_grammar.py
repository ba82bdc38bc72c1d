"""Whatever is built is accepted by the program's grammar, as a reader of its own understands it."""

from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands import doctor_commands as inspect
from starlake_dagster_assets.errors import CommandError
from tests.fakes.scripted_starlake import OPTIONS, Refused, parse

TEXT = st.text(max_size=10)
NAMES = st.lists(TEXT, max_size=4)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)
MOMENTS = st.none() | st.datetimes(timezones=st.just(timezone.utc))


def accepted(made) -> dict[str, str] | None:
    """What the program would read; None where we refused first."""
    try:
        command = made()
    except CommandError as error:
        assert len(str(error)) > 10
        return None
    return parse(list(command.argv))


@settings(max_examples=150, deadline=None)
@given(TEXT, NAMES, PAIRS, MOMENTS)
def test_every_command_of_a_run(domain, tables, options, moment):
    read = accepted(lambda: build.load(domain, tables, scheduled_date=moment, options=options))
    if read is not None:
        assert read["--domains"] == domain
        assert read["--tables"].split(",") == tables
        assert ("--scheduledDate" in read) == (moment is not None)
    read = accepted(lambda: build.stage(domain, tables, options=options))
    assert read is None or read["--domains"] == domain
    read = accepted(lambda: build.transform(domain, options, moment))
    assert read is None or read["--name"] == domain


@settings(max_examples=150, deadline=None)
@given(TEXT, NAMES, st.sampled_from(["imported", "pending", "ack"]), st.none() | TEXT, st.none() | TEXT, PAIRS)
def test_every_preload(domain, tables, strategy, ack, sentinel, options):
    def made():
        given = {"strategy": strategy, "ack_file": ack, "not_ready_sentinel": sentinel, "options": options}
        return build.preload(domain, tables, **given)

    read = accepted(made)
    if read is None:
        return
    assert read["--domain"] == domain
    assert read["--strategy"] == strategy
    assert read.get("--globalAckFilePath") == ack
    assert read.get("--notReadySentinel") == sentinel
    assert strategy != "pending" or read["--tables"]


@settings(max_examples=80, deadline=None)
@given(TEXT, NAMES)
def test_every_command_that_only_looks(text, names):
    for made in (
        inspect.validate,
        lambda: inspect.validate(reload=True),
        lambda: inspect.settings(text),
        lambda: inspect.lineage(text),
        lambda: inspect.lineage(output=text),
        lambda: inspect.freshness(names),
        lambda: inspect.dag_generate(text, tags=names, tasks=False),
    ):
        accepted(made)


def test_the_reader_refuses_what_the_program_refuses():
    for wrong in (
        ["preload", "--domain", "d", "--scheduledDate", "2024-01-01"],
        ["stage", "--domains", "d", "--scheduledDate", "2024-01-01"],
        ["load", "--domains", "d", "--options", "a=1,b"],
        ["load", "--domains", "d", "--options", ""],
        ["transform"],
    ):
        with pytest.raises(Refused):
            parse(wrong)
    assert "import" not in OPTIONS


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: build.preload("d", strategy="pending"), "always ready"),
        (lambda: build.preload("d", ["a"], strategy="ack"), "needs the path of the ack file"),
        (lambda: build.preload("d", ["a"], strategy="imported", ack_file="/x"), "looks at no ack file"),
        (lambda: build.preload("d", ["a"], strategy="ack", ack_file=" "), "globalAckFilePath"),
        (lambda: inspect.dag_generate("/x", tasks=False, domains=False), "nothing would be written"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(CommandError, match=words):
        wrong()


def test_a_date_is_said_in_utc_without_quotes():
    moment = datetime(2024, 3, 1, 10, tzinfo=timezone.utc)
    assert parse(list(build.load("d", ["a"], scheduled_date=moment).argv))["--scheduledDate"] == (
        "2024-03-01T10:00:00+0000"
    )
