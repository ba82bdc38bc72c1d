"""The lines of real processes, and what can happen to lines."""

import json
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.commands.model import (
    CommandFailed,
    CommandSucceeded,
    FileLoaded,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.execution.parse import OutputParser, parse
from tests.fakes.growth import growth

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"
AT = "26/01/01 00:00:00 "


def recorded(name):
    folder = TRANSCRIPTS / name
    code = json.loads((folder / "run.json").read_text())["exit"]
    out, err = (
        (folder / stream).read_bytes().decode("utf-8", "replace").splitlines() for stream in ("stdout", "stderr")
    )
    return list(parse([*out, *err], code))


def kinds(events, *types):
    return [event for event in events if isinstance(event, types)]


def started(domain, table, *files):
    return f"{AT}INFO IngestionWorkflow: Ingest resolved file : {','.join(files)} as table {domain}.{table}"


def summary(domain, table, *files, found=2, accepted=2, rejected=0):
    paths = ",".join(f"file:/p/ingesting/{domain}/{file}" for file in files)
    return (
        f"{AT}INFO DsvIngestionJob: ingestion-summary -> files: [{paths}], domain: {domain}, schema: {table}, "
        f"input: {found}, accepted: {accepted}, rejected:{rejected}"
    )


def archived(domain, file):
    source, target = (f"file:/p/{area}/{domain}/{file}" for area in ("ingesting", "archive"))
    return f"{AT}INFO IngestionWorkflow: Backing up file {source} to {target}"


ERROR = f"{AT}ERROR IngestionWorkflow: java.lang.Exception: no"
SOME_FAILED = f"{AT}ERROR IngestionWorkflow: Some tables failed to be loaded"
DONE = f"{AT}INFO Main: Successfully load --domains d"


def lines_of(name):
    folder = TRANSCRIPTS / name
    return (folder / "stderr").read_bytes().decode("utf-8", "replace").splitlines()


LOADS = ["load-domain-native", "load-part-failure-native", "load-rejects-spark", "load-rejects-all-on-error-spark"]


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("code", [None, 1, 137])
def test_a_real_process_that_ends_after_any_line(name, code):
    lines = lines_of(name)
    announced = {event.table: event.files for event in kinds(parse(lines, code), TableStarted)}
    marked = [at for at, line in enumerate(lines) if any(word in line for word in ("ngest", "Backing", "ERROR"))]
    for cut in [0, *(at + after for at in marked for after in (0, 1))]:
        seen = lines[:cut]
        loaded = {event.table for event in kinds(parse(seen, code), TableLoaded)}
        summed_up = {
            table
            for table, files in announced.items()
            if all(any("ingestion-summary" in line and f"/{file}]" in line for line in seen) for file in files)
        }
        archived_now = {
            table
            for table, files in announced.items()
            if all(any("Backing up" in line and f"/{file} to" in line for line in seen) for file in files)
        }
        assert archived_now <= loaded <= (archived_now if code is None else summed_up), cut
        if not any("ERROR" in line for line in seen) and code is not None:
            assert loaded == summed_up, cut


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize(
    "alter",
    [
        lambda line: f"\x1b[32m{line}\x1b[0m",
        lambda line: f"{line}\r",
        lambda line: line.replace("26/11/22 ", "2026-11-22 ", 1),
        lambda line: f"[main] {line}",
        lambda line: f"2026-11-22T19:00:03.123Z stderr F {line}",
        lambda line: f"caf\ufffd {line}",
    ],
    ids=["ansi", "crlf", "date", "thread", "container", "bytes"],
)
def test_a_real_process_whose_lines_were_altered_on_the_way(name, alter):
    code = json.loads((TRANSCRIPTS / name / "run.json").read_text())["exit"]
    plain = kinds(parse(lines_of(name), code), TableLoaded, FileLoaded)
    assert kinds(parse([alter(line) for line in lines_of(name)], code), TableLoaded, FileLoaded) == plain


@pytest.mark.parametrize("name", LOADS)
def test_a_real_process_whose_streams_are_one(name):
    code = json.loads((TRANSCRIPTS / name / "run.json").read_text())["exit"]
    lines, printed = lines_of(name), (TRANSCRIPTS / name / "stdout").read_text().splitlines()
    mixed = [one for pair in zip_longest(lines, printed) for one in pair if one is not None]
    assert kinds(parse(mixed, code), TableLoaded) == kinds(parse(lines, code), TableLoaded)


def test_a_domain_in_one_process():
    events = recorded("load-domain-native")
    assert kinds(events, TableLoaded) == [
        TableLoaded("starbake", "orders", ("orders.json",), 20, 20, None, archived=True),
        TableLoaded("starbake", "customers", ("customers.csv",), 10, 10, None, archived=True),
        TableLoaded("starbake", "products", ("products.json",), 20, 20, None, archived=True),
    ]
    assert events[-1] == CommandSucceeded()


def test_a_table_of_which_one_file_failed_has_failed():
    events = recorded("load-part-failure-native")
    assert [event.table for event in kinds(events, TableLoaded)] == ["products", "orders"]
    (failed,) = kinds(events, TableFailed)
    assert (failed.table, failed.missing) == ("customers", ("customers_bad.csv",))
    assert "CSV Error on Line: 3" in failed.error and "\tat " not in failed.error
    assert "NOTANINT" in failed.error
    assert isinstance(events[-1], CommandFailed) and events[-1].exit_code == 1


def test_refused_rows_and_a_refused_file_after_its_summary():
    loaded = kinds(recorded("load-rejects-spark"), TableLoaded)
    assert [(event.table, event.input, event.accepted, event.rejected) for event in loaded] == [
        ("customers", 4, 2, 2),
        ("orders", 20, 20, 0),
    ]
    events = recorded("load-rejects-all-on-error-spark")
    assert not kinds(events, TableLoaded)
    assert "Fail on rejected count requested" in kinds(events, TableFailed)[0].error


@pytest.mark.parametrize("name", ["load-no-file", "load-unknown-table", "stage", "transform-ok"])
def test_success_without_tables(name):
    assert recorded(name) == [CommandSucceeded()]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("transform-unknown-column", 'Referenced column "nosuchcol" not found'),
        ("transform-unknown-task", "Invalid task name bad.nosuch"),
        ("unknown-command", "Unknown command import"),
        ("unknown-option", "Unknown option --scheduledDate"),
    ],
)
def test_failures_say_why(name, words):
    (event,) = recorded(name)
    assert isinstance(event, CommandFailed) and words in event.error and "\tat " not in event.error


def test_a_table_is_told_as_soon_as_its_last_file_is_archived():
    parser = OutputParser()
    parser.feed(started("d", "t", "a.csv", "b.csv"))
    assert kinds(parser.feed(summary("d", "t", "a.csv")), FileLoaded)
    assert parser.feed(archived("d", "a.csv")) == ()
    parser.feed(summary("d", "t", "b.csv"))
    assert parser.feed(archived("d", "b.csv")) == (TableLoaded("d", "t", ("a.csv", "b.csv"), 4, 4, 0, archived=True),)
    assert kinds(parser.finish(0), TableLoaded) == []


@pytest.mark.parametrize("repeated", range(5))
@pytest.mark.parametrize("later", range(5))
def test_a_line_that_a_log_service_delivers_twice_counts_once(repeated, later):
    lines = [
        started("d", "t", "a.csv"),
        summary("d", "t", "a.csv"),
        archived("d", "a.csv"),
        f"{AT}INFO IngestionWorkflow: All tables loaded successfully",
        f"{AT}INFO Main: Successfully load",
    ]
    once = [event for event in parse(lines, 0) if isinstance(event, TableLoaded | CommandSucceeded)]
    line = lines[repeated]
    lines.insert(max(repeated, later) + 1, line)
    events = [event for event in parse(lines, 0) if not isinstance(event, TableStarted | FileLoaded)]
    assert events == once == [TableLoaded("d", "t", ("a.csv",), 2, 2, 0, archived=True), CommandSucceeded()]


def test_without_an_archive_the_next_table_tells():
    parser = OutputParser()
    parser.feed(started("d", "t", "a.csv"))
    parser.feed(summary("d", "t", "a.csv"))
    assert kinds(parser.feed(started("d", "u", "b.csv")), TableLoaded)
    parser.feed(ERROR)
    assert [event.table for event in kinds(parser.finish(1), TableFailed)] == ["u"]


def test_tables_side_by_side():
    lines = [
        started("d", "t", "a.csv"),
        started("d", "u", "b.csv"),
        summary("d", "u", "b.csv"),
        summary("d", "t", "a.csv"),
        archived("d", "b.csv"),
        ERROR,
        SOME_FAILED,
    ]
    events = list(parse(lines, 1))
    assert [event.table for event in kinds(events, TableLoaded)] == ["u"]
    assert [event.table for event in kinds(events, TableFailed)] == ["t"]


def test_an_adaptive_table_is_announced_again():
    lines = [started("d", "t", "a.csv"), summary("d", "t", "a.csv"), archived("d", "a.csv"), started("d", "t", "b.csv")]
    events = list(parse([*lines, ERROR, SOME_FAILED], 1))
    assert kinds(events, TableFailed)[0].missing == ("b.csv",)
    waiting = OutputParser(repeated=[("d", "t")])
    assert not [event for line in lines for event in kinds(waiting.feed(line), TableLoaded)]
    waiting = OutputParser(repeated=[("d", "t")])
    other = [started("d", "t", "a.csv"), summary("d", "t", "a.csv"), started("d", "u", "b.csv")]
    assert not [event for line in other for event in kinds(waiting.feed(line), TableLoaded)]


def test_side_by_side_another_announcement_proves_nothing():
    lines = [
        started("d", "t", "a.csv"),
        started("d", "u", "b.csv"),
        summary("d", "t", "a.csv"),
        started("d", "v", "c.csv"),
        ERROR,
        SOME_FAILED,
    ]
    assert not kinds(parse(lines, 1), TableLoaded)


def test_a_file_without_summary_fails_even_with_exit_0():
    events = list(parse([started("d", "t", "a.csv", "b.csv"), summary("d", "t", "a.csv"), DONE], 0))
    assert kinds(events, TableFailed)[0].missing == ("b.csv",)


def test_a_killed_process():
    events = list(parse([started("d", "t", "a.csv"), summary("d", "t", "a.csv")], None))
    assert kinds(events, TableFailed) and not kinds(events, TableLoaded)
    assert isinstance(events[-1], CommandFailed)


def test_names_with_dots_commas_and_spaces():
    parser = OutputParser(expected=[("my.domain", "a.b")])
    (event,) = parser.feed(started("my.domain", "a.b", "x,y z.csv"))
    assert (event.domain, event.table) == ("my.domain", "a.b")
    parser.feed(summary("my.domain", "a.b", "x,y z.csv"))
    (loaded,) = parser.feed(archived("my.domain", "x,y z.csv"))
    assert loaded.files == ("x,y z.csv",)


def test_several_files_in_one_summary():
    lines = [
        started("d", "t", "a.csv", "b.csv"),
        summary("d", "t", "a.csv", "b.csv", found=5, accepted=4, rejected=1),
        DONE,
    ]
    events = list(parse(lines, 0))
    assert kinds(events, TableLoaded) == [TableLoaded("d", "t", ("a.csv", "b.csv"), 5, 4, 1)]
    assert [event.input for event in kinds(events, FileLoaded)] == [None, None]


def test_colours_and_glued_lines():
    lines = [
        f"\x1b[32m{started('d', 't', 'a.csv')}\x1b[0m\r",
        f"Loading 26/01/01 00:00:00 \x1b[1;32m{summary('d', 't', 'a.csv').removeprefix(AT)}\x1b[0m",
        DONE,
    ]
    assert kinds(parse(lines, 0), TableLoaded)


def test_an_unknown_format_gives_no_tables_and_no_success():
    parser = OutputParser()
    for line in ("loading table d.t", "done", "{}"):
        assert parser.feed(line) == ()
    (event,) = parser.finish(0)
    assert isinstance(event, CommandFailed) and not parser.understood


def test_text_that_only_quotes_a_marker_is_no_marker():
    quoted = "description: " + summary("d", "t", "a.csv").removeprefix(f"{AT}INFO DsvIngestionJob: ")
    assert not kinds(parse([quoted, DONE], 0), FileLoaded, TableLoaded)


def test_memory_stays_bounded():
    parser = OutputParser(keep=10)
    for number in range(5_000):
        parser.feed(f"{AT}ERROR Job: failure {number} {'x' * 5_000}")
    assert len(parser.errors) == 10 and all(len(error) <= 2_000 for error in parser.errors)
    assert "4999" in parser.errors[-1]


LINES = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["a.csv", "b.csv"]).map(lambda file: started("d", "t", file)),
        st.sampled_from(["a.csv", "b.csv"]).map(lambda file: summary("d", "t", file)),
        st.sampled_from(["a.csv", "b.csv"]).map(lambda file: archived("d", file)),
        st.sampled_from([ERROR, SOME_FAILED, DONE, started("d", "u", "c.csv"), summary("d", "u", "c.csv")]),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(LINES, st.sampled_from([0, 1, None]))
def test_no_line_raises_and_no_table_is_loaded_without_its_summaries(lines, code):
    events = list(parse(lines, code))
    assert isinstance(events[-1], (CommandSucceeded, CommandFailed))
    seen = {(event.domain, event.table, event.file) for event in kinds(events, FileLoaded)}
    moved = {line.rsplit("/", 1)[-1] for line in lines if "Backing up" in line}
    for event in kinds(events, TableLoaded):
        assert event.files
        assert all((event.domain, event.table, file) in seen or file in moved for file in event.files)
    announced = {(event.domain, event.table) for event in kinds(events, TableStarted)}
    told = {(event.domain, event.table) for event in kinds(events, TableLoaded, TableFailed)}
    assert announced <= told


def test_a_table_announced_again_after_its_end_can_still_be_refused():
    first = [started("d", "t", "a.csv"), summary("d", "t", "a.csv"), archived("d", "a.csv")]
    lines = [*first, started("d", "t", "b.csv"), summary("d", "t", "b.csv"), ERROR, SOME_FAILED]
    told = kinds(parse(lines, 1), TableLoaded, TableFailed)
    assert [type(event) for event in told] == [TableLoaded, TableFailed]
    assert told[1].missing == ("b.csv",)


def test_reading_a_load_grows_with_its_tables():
    def read(tables):
        names = [f"t{number}" for number in range(tables)]
        lines = [line for name in names for line in (started("d", name, "a.csv"), summary("d", name, "a.csv"))]
        assert len(kinds(parse([*lines, DONE], 0), TableLoaded)) == tables

    assert growth(read, 50, 10) < 1.1
