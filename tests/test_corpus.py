"""The corpus: small projects with what the real engine made of them; the embedded engine must make the same of them.

Where the corpus says that a result is a defect, `DEVIATIONS` says, one by one, what is right instead and why.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from starlake_dagster_assets.engine.commands.program import execute_command

CORPUS = Path(__file__).parent / "corpus"
Step = dict[str, Any]
Change = Callable[[Step], None]


def _recorder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_record", CORPUS / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECORD = _recorder()
LOCK = re.compile(r"\.\w+\.lock")
"""A lock file of the embedded engine, next to the stage area of a domain."""
RUNS = [
    (folder.name, loader)
    for folder in sorted(CORPUS.iterdir())
    if (folder / "run.json").exists()
    for loader in json.loads((folder / "expected.json").read_text())["runs"]
    if (folder.name, loader) != ("types_offsets", "native")
]
"""Not the native loader with types_offsets: it uses no pattern, and the embedded engine uses them with both loaders."""

# ------------------------------------------------------------------------------------------- what may differ


@dataclass(frozen=True)
class Deviation:
    """One right result where the recorded one is a defect.

    Attributes:
        project: Name of the project.
        loader: `native` or `spark`.
        steps: Numbers of the steps it concerns.
        why: The reason.
        change: Makes the right result of a recorded step.
    """

    project: str
    loader: str
    steps: tuple[int, ...]
    why: str
    change: Change


def exits(command: str, code: int) -> Change:
    def change(step: Step) -> None:
        found = [item for item in step["commands"] if item["command"] == command]
        assert found, command
        for item in found:
            item["exit"] = code

    return change


def archived(*files: str) -> Change:
    """Files that the real engine leaves in `ingesting`."""

    def change(step: Step) -> None:
        for file in files:
            step["files"]["ingesting"].remove(file)
        step["files"]["archive"] = sorted([*step["files"]["archive"], *files])

    return change


def returned(domain: str, table: str, file: str, times: int) -> Change:
    """A file of which every row is rejected is in `stage` instead of `ingesting`, and has failed so many times."""

    def change(step: Step) -> None:
        step["files"]["ingesting"].remove(f"{domain}/{file}")
        step["files"]["stage"] = sorted([*step["files"]["stage"], f"{domain}/{file}"])
        path = f"$ROOT/datasets/ingesting/{domain}/{file}"
        audit = step["tables"]["audit.audit"]["rows"]
        audit[:] = [row for row in audit if row[0] != path]
        audit += [[path, domain, table, False, 1, 0, 1, "", "LOAD", "", ""]] * times
        audit.sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))

    return change


def kept(*files: str) -> Change:
    """Files whose name was archived before, which the real engine overwrites."""

    def change(step: Step) -> None:
        step["files"]["archive"] = sorted([*step["files"]["archive"], *files])

    return change


def rows(table: str, values: list[list[Any]], columns: list[str] | None = None) -> Change:
    def change(step: Step) -> None:
        content = step["tables"].setdefault(table, {"kind": "table", "columns": columns, "rows": []})
        content["rows"] = sorted(values, key=lambda row: json.dumps(row, sort_keys=True, default=str))
        if columns is not None:
            content["columns"] = columns

    return change


def start_is_now(table: str) -> Change:
    """SCD2: a null start becomes the clock; the column before the last."""

    def change(step: Step) -> None:
        values = step["tables"][table]["rows"]
        for row in values:
            row[-2] = "<now>"
        values.sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))

    return change


def once(table: str) -> Change:
    """Rows recorded twice."""

    def change(step: Step) -> None:
        unique: list[Any] = []
        for row in step["tables"][table]["rows"]:
            if row not in unique:
                unique.append(row)
        step["tables"][table]["rows"] = unique

    return change


def loads(domain: str, table: str, file: str, counts: tuple[int, int, int], transform: bool = True) -> Change:
    """The file is loaded: its failed LOAD row becomes a successful one, with the native loader's TRANSFORM row."""

    def change(step: Step) -> None:
        audit = step["tables"]["audit.audit"]["rows"]
        path = f"$ROOT/datasets/ingesting/{domain}/{file}"
        audit[:] = [row for row in audit if row[0] != path]
        audit.append([path, domain, table, True, *counts, "success", "LOAD", "", ""])
        if transform:
            audit.append([table, domain, table, True, -1, -1, -1, "success", "TRANSFORM", "", ""])
        audit.sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))

    return change


def counts_of(path: str, counts: tuple[int, int, int]) -> Change:
    def change(step: Step) -> None:
        found = [row for row in step["tables"]["audit.audit"]["rows"] if row[0] == f"$ROOT/datasets/ingesting/{path}"]
        assert found, path
        for row in found:
            row[4:7] = counts
        step["tables"]["audit.audit"]["rows"].sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))

    return change


def rejected(domain: str, table: str, file: str, *errors: str) -> Change:
    path = f"$ROOT/datasets/ingesting/{domain}/{file}"

    def change(step: Step) -> None:
        columns = [f"{name} VARCHAR" for name in ("JOBID", "TIMESTAMP", "DOMAIN", "SCHEMA", "ERROR", "PATH")]
        columns[1] = "TIMESTAMP TIMESTAMP"
        empty = {"kind": "table", "columns": columns, "rows": [], "row_columns": ["DOMAIN", "SCHEMA", "ERROR", "PATH"]}
        content = step["tables"].setdefault("audit.rejected", empty)
        content["rows"] += [[domain, table, f"ERR -> \n{error}\n\nFILE -> {path}", path] for error in errors]
        content["rows"].sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))

    return change


def blocked(table: str, file: str) -> Change:
    """A failed blocking expectation rolls the load back; its file returns to `stage`."""

    def change(step: Step) -> None:
        step["files"]["archive"].remove(file)
        step["files"]["stage"] = sorted([*step["files"]["stage"], file])
        domain, name = table.split(".")
        audit = step["tables"]["audit.audit"]["rows"]
        audit[:] = [row for row in audit if (row[2], row[1]) != (name, domain)]
        audit.append([f"$ROOT/datasets/ingesting/{file}", domain, name, False, 0, 0, 0, "", "LOAD", "", ""])
        audit.sort(key=lambda row: json.dumps(row, sort_keys=True, default=str))
        del step["tables"][table]

    return change


def not_run(task: str) -> Change:
    """A task whose source does not exist."""

    def change(step: Step) -> None:
        domain, name = task.split(".")
        for row in step["tables"]["audit.audit"]["rows"]:
            if (row[1], row[2]) == (domain, name):
                row[3] = False
        checks = step["tables"]["audit.expectations"]["rows"]
        checks[:] = [row for row in checks if (row[1], row[2]) != (domain, name)]
        del step["tables"][task]

    return change


def no_number(step: Step) -> None:
    for row in step["tables"]["audit.expectations"]["rows"]:
        row[6] = max(row[6], 0)


BLOCKS = "a failed expectation with failOnError: true blocks, whatever the application says"


def nothing_rejected(table: str) -> Change:
    def change(step: Step) -> None:
        content = step["tables"]["audit.rejected"]
        content["rows"] = [row for row in content["rows"] if row[1] != table]

    return change


def without(table: str, *values: list[Any]) -> Change:
    """Rows that are no value of the file."""

    def change(step: Step) -> None:
        content = step["tables"][table]
        assert all(value in content["rows"] for value in values), table
        content["rows"] = [row for row in content["rows"] if row not in values]

    return change


NATIVE_ROWS = "the embedded engine refuses rows, not files, with both loaders; the audit says how many"
DEVIATIONS: tuple[Deviation, ...] = (
    # attr_features, native: trim, default and script have no effect or fail
    *(
        Deviation("attr_features", "native", (1,), why, change)
        for why, change in (
            (NATIVE_ROWS, exits("load --domains attr --tables req", 0)),
            (NATIVE_ROWS, archived("attr/req_1.csv")),
            (NATIVE_ROWS, loads("attr", "req", "req_1.csv", (3, 2, 1))),
            (NATIVE_ROWS, rejected("attr", "req", "req_1.csv", "`id`  can't be null")),
            (NATIVE_ROWS, rows("attr.req", [[1, "a"], [3, None]], ["id INTEGER", "v VARCHAR"])),
            ("default is applied", rows("attr.dft", [[1, "none", 7], [2, "given", 9]])),
            ("trim is applied", rows("attr.trm", [[1, "x  ", "  x", "x", "  x  "]])),
            ("script columns are computed", exits("load --domains attr --tables scr", 0)),
            ("script columns are computed", archived("attr/scr_1.csv")),
            ("script columns are computed", loads("attr", "scr", "scr_1.csv", (1, 1, -1))),
            (
                "script columns are computed",
                rows(
                    "attr.scr",
                    [[1, 2, 3, 5, "X1"]],
                    ["id INTEGER", "a INTEGER", "b INTEGER", "total INTEGER", "big VARCHAR"],
                ),
            ),
        )
    ),
    # bad_rows, native: one bad row refuses the file
    Deviation("bad_rows", "native", (1,), NATIVE_ROWS, exits("load --domains bad", 0)),
    Deviation("bad_rows", "native", (1, 2), NATIVE_ROWS, archived("bad/reading_1.csv")),
    Deviation("bad_rows", "native", (1, 2), NATIVE_ROWS, loads("bad", "reading", "reading_1.csv", (6, 2, 4))),
    Deviation(
        "bad_rows",
        "native",
        (1, 2),
        NATIVE_ROWS,
        rejected(
            "bad",
            "reading",
            "reading_1.csv",
            "`day` (date) doesn't match pattern `yyyy-MM-dd`",
            "`id`  can't be null",
            "`id` (int) doesn't match pattern `[-|\\+|0-9][0-9]*`",
            "`temp` (double) doesn't match pattern `[-+]?\\d*\\.?\\d+[Ee]?[-+]?\\d*`",
        ),
    ),
    Deviation(
        "bad_rows",
        "native",
        (1,),
        NATIVE_ROWS,
        rows(
            "bad.reading", [[1, 20.5, "2024-05-01"], [6, 17.0, "2024-05-04"]], ["id INTEGER", "temp DOUBLE", "day DATE"]
        ),
    ),
    Deviation(
        "bad_rows",
        "native",
        (2,),
        NATIVE_ROWS,
        rows("bad.reading", [[1, 20.5, "2024-05-01"], [6, 17.0, "2024-05-04"], [7, 16.0, "2024-05-05"]]),
    ),
    Deviation("expectations_default", "native", (1, 2), "an expectation is recorded once", once("audit.expectations")),
    Deviation("expectations_default", "native", (1, 2), "a result that is not a number is an exception", no_number),
    Deviation("expectations_default", "native", (1,), BLOCKS, exits("load --domains ex --tables poor", 1)),
    Deviation("expectations_default", "native", (1,), BLOCKS, exits("load --domains ex --tables odd", 1)),
    Deviation("expectations_default", "native", (1, 2), BLOCKS, blocked("ex.poor", "ex/poor_1.csv")),
    Deviation("expectations_default", "native", (1, 2), BLOCKS, blocked("ex.odd", "ex/odd_1.csv")),
    Deviation("expectations_default", "native", (2,), BLOCKS, exits("transform --name kpi.tpoor", 1)),
    Deviation("expectations_default", "native", (2,), BLOCKS, exits("transform --name kpi.todd", 1)),
    Deviation("expectations_default", "native", (2,), BLOCKS, not_run("kpi.tpoor")),
    Deviation("expectations_default", "native", (2,), BLOCKS, not_run("kpi.todd")),
    # files_life, native: a failed file stays in ingesting; here its only row is refused and the file is archived
    # files_life, native: a file without a right row fails, and returns to `stage`, where each load tries it again
    *(
        Deviation("files_life", "native", (step,), "a failed file is tried again", change)
        for step, command in (
            (3, "load --domains fl"),
            (4, "load --domains fl"),
            (5, "load --domains fl --tables noack --files $ROOT/datasets/archive/fl/noack_2.csv"),
        )
        for change in (
            exits(command, 1),
            returned("fl", "noack", "noack_3.csv", times=step - 2),
            rejected(
                "fl",
                "noack",
                "noack_3.csv",
                *["`id` (int) doesn't match pattern `[-|\\+|0-9][0-9]*`"] * (step - 2),
            ),
        )
    ),
    # format_dsv, native: the quote is not escaped
    *(
        Deviation("format_dsv", "native", (1,), "a quote of ' is a character like any other", change)
        for change in (
            exits("load --domains txt", 0),
            archived("txt/tab_1.csv"),
            loads("txt", "tab", "tab_1.csv", (2, 2, -1)),
            rows("txt.tab", [[1, "a\tb"], [2, "c"]], ["id INTEGER", "note VARCHAR"]),
        )
    ),
    # load_scd2
    *(
        Deviation("load_scd2", "spark", (1, 2, 3), "the first run starts its rows now", start_is_now(f"hr.{table}"))
        for table in "abc"
    ),
    *(
        Deviation("load_scd2", loader, (number,), "an unchanged row stays open", rows("hr.a", values))
        for loader in ("native", "spark")
        for number, values in (
            (
                2,
                [
                    [1, "Brest", "<now>", "<now>"],
                    [1, "Lille", "<now>", None],
                    [2, "Metz", "<now>", None],
                    [4, "Dijon", "<now>", None],
                ],
            ),
            (
                3,
                [
                    [1, "Brest", "<now>", "<now>"],
                    [1, "Lille", "<now>", "<now>"],
                    [1, "Nice", "<now>", None],
                    [2, "Metz", "<now>", None],
                    [4, "Dijon", "<now>", None],
                ],
            ),
        )
    ),
    Deviation("load_scd2", "native", (2, 3), "an unchanged row adds none", counts_of("hr/a_2.csv", (2, 2, -1))),
    Deviation(
        "load_schema_drift",
        "native",
        (2,),
        "a column that only the table has is kept",
        rows("dr.thing", [[1, "gone", None], [2, None, "new"]], ["id INTEGER", "stale VARCHAR", "fresh VARCHAR"]),
    ),
    Deviation(
        "load_upsert_key",
        "native",
        (3,),
        "a null key is a key",
        rows("shop.c", [["k1", 1, 1.5], ["k1", 2, 8.0], ["k1", 3, 7.0], [None, 4, 5.0]]),
    ),
    Deviation("load_upsert_key", "native", (3,), "a null key is a key", counts_of("shop/c_3.csv", (0, 0, -1))),
    # names_rename: the statements of transform.default run once
    Deviation("names_rename", "native", (1,), "postsql runs once", rows("mart.seen", [["default post"], ["own post"]])),
    Deviation(
        "names_rename",
        "native",
        (2,),
        "postsql runs once",
        rows("mart.seen", [["default post"], ["own post"]] * 2),
    ),
    # task_strategies
    Deviation("task_strategies", "native", (1, 2, 3), "the first run starts its rows now", start_is_now("out.t_scd2")),
    Deviation(
        "task_strategies",
        "native",
        (2, 3),
        "an equal timestamp is not newer: one row a key, and a re-run changes nothing",
        rows(
            "out.t_upsert_ts",
            [
                [1, "a", 11, "2024-01-11 10:00:00+00"],
                [2, "a", 20, "2024-01-10 10:00:00+00"],
                [3, "b", 30, "2024-01-10 10:00:00+00"],
                [4, "c", 41, "2024-01-11 10:00:00+00"],
            ],
        ),
    ),
    Deviation(
        "task_strategies",
        "native",
        (1,),
        "the last row of the key",
        rows("out.t_upsert_src", [[2, "a", 20, "2024-01-10 10:00:00+00"], [3, "b", 30, "2024-01-10 10:00:00+00"]]),
    ),
    Deviation(
        "task_strategies",
        "native",
        (2, 3),
        "the last row of the key",
        rows(
            "out.t_upsert_src",
            [
                [2, "a", 21, "2024-01-09 10:00:00+00"],
                [3, "b", 31, "2024-01-10 10:00:00+00"],
                [4, "c", 41, "2024-01-11 10:00:00+00"],
            ],
        ),
    ),
    # files_life: the archive keeps every delivery
    Deviation("files_life", "native", (2, 3, 4), "archiving never overwrites", kept("fl/noack_1.2.csv")),
    Deviation("files_life", "native", (5,), "archiving never overwrites", kept("fl/noack_1.2.csv", "fl/noack_2.2.csv")),
    # csv_line_ends: line ends are read as they are, whatever they are
    *(
        Deviation("csv_line_ends", "native", (1,), "every kind of line end is read", change)
        for name, counts, values in (
            ("crq", (2, 2, -1), [[1, "a\rb"], [2, "c"]]),
            ("headq", (1, 1, -1), [[1, None]]),
            ("mixed", (3, 3, -1), [[1, "a"], [2, "b"], [3, "c"]]),
        )
        for change in (
            exits(f"load --domains le --tables {name}", 0),
            archived(f"le/{name}_1.csv"),
            loads("le", name, f"{name}_1.csv", counts),
            rows(f"le.{name}", values, ["id INTEGER", "note VARCHAR"]),
        )
    ),
    *(
        Deviation("csv_line_ends", "spark", (1,), "line ends in quotes are part of the value", change)
        for change in (
            rows("le.crlfq", [[1, "a\r\nb"], [2, "c"]]),
            rows("le.crq", [[1, "a\rb"], [2, "c"]]),
            rows("le.lfoff", [[1, "a\nb"], [2, "c"]]),
            counts_of("le/lfoff_1.csv", (2, 2, 0)),
            nothing_rejected("lfoff"),
            rows("le.mixed", [[1, "a"], [2, "b"], [3, "c"]]),
        )
    ),
    # types_offsets: no date is moved to another one, and no text after it is passed over
    *(
        Deviation("types_offsets", "spark", (1, 2), "a date that does not exist is rejected", change)
        for change in (
            counts_of("tz/dyy_1.csv", (4, 3, 1)),
            counts_of("tz/tday_1.csv", (3, 1, 2)),
            rejected("tz", "dyy", "dyy_1.csv", "`v` (d_yy) doesn't match pattern `dd/MM/yy`"),
            rejected("tz", "tday", "tday_1.csv", *["`v` (t_day) doesn't match pattern `yyyy-MM-dd`"] * 2),
            without("tz.dyy", [4, "2023-02-28"]),
            without("tz.tday", [2, "2024-02-29 00:00:00"], [3, "2024-03-05 00:00:00"]),
        )
    ),
    # types_dates, native: patterns of timestamps and texts are not used
    *(
        Deviation("types_dates", "native", (1,), "patterns of types are used", change)
        for change in (
            exits("load --domains ty --tables de", 0),
            exits("load --domains ty --tables sec", 0),
            archived("ty/de_1.csv", "ty/sec_1.csv"),
            loads("ty", "de", "de_1.csv", (1, 1, -1)),
            loads("ty", "sec", "sec_1.csv", (1, 1, -1)),
            counts_of("ty/code_1.csv", (2, 1, 1)),
            rejected("ty", "code", "code_1.csv", "`v` (code3) doesn't match pattern `[A-Z]{3}`"),
            rows("ty.code", [[1, "ABC"]]),
            rows("ty.compact", [[1, "2024-01-31 00:00:00+00"]]),
            rows("ty.de", [[1, "2024-12-31 08:30:00"]], ["id INTEGER", "v TIMESTAMP"]),
            rows("ty.sec", [[1, "2023-11-14 22:13:20"]], ["id INTEGER", "v TIMESTAMP"]),
        )
    ),
)

# ------------------------------------------------------------------------------------------------- the comparison


def run(name: str, loader: str, top: Path) -> list[Step]:
    """Runs a project as `record.py` does, in this process."""
    spec = json.loads((CORPUS / name / "run.json").read_text())
    root = top / "project"
    shutil.copytree(CORPUS / name / "project" / "metadata", root / "metadata")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SL_")}
    steps: list[Step] = []
    for number, step in enumerate(spec["steps"], 1):
        _arrive(CORPUS / name / "project" / "days" / str(step.get("day")), root, time.time())
        for directory in spec.get("directories", []):
            (root / "datasets" / "incoming" / directory).mkdir(parents=True, exist_ok=True)
        environ = {**clean, "SL_ROOT": str(root), "SL_ENV": spec.get("env_name", "DUCKDB"), "SL_LOADER": loader}
        environ |= spec.get("env", {}) | step.get("env", {})
        commands = [_command(command, root, environ) for command in step["commands"]]
        found, left = RECORD.tables(root / "datasets" / "duckdb.db", root, 0.0)
        assert left == 0
        areas = {
            area: [name for name in names if not LOCK.fullmatch(name)] for area, names in RECORD.files(root).items()
        }
        steps.append({"step": number, "commands": commands, "files": areas, "tables": found})
    return steps


def _arrive(source: Path, root: Path, now: float) -> None:
    for number, file in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        relative = file.relative_to(source)
        first = relative.parts[0]
        area = Path(first[1:], *relative.parts[1:]) if first.startswith("_") else Path("incoming") / relative
        target = root / "datasets" / area
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        os.utime(target, (now - 1000 + number, now - 1000 + number))


def _command(command: str, root: Path, environ: Mapping[str, str]) -> Step:
    lines: list[str] = []
    argv = command.replace("$ROOT", str(root)).split(" ")
    code = execute_command(argv, environ, lambda line: lines.append(line.text))
    assert not any("Traceback" in line for line in lines), lines
    return {"command": command, "exit": code}


def right(name: str, loader: str) -> list[Step]:
    """What was recorded, with every deviation of that run applied."""
    recorded = json.loads((CORPUS / name / "expected.json").read_text())["runs"][loader]
    steps = [{key: step[key] for key in ("step", "commands", "files", "tables")} for step in recorded]
    for deviation in DEVIATIONS:
        if (deviation.project, deviation.loader) == (name, loader):
            for number in deviation.steps:
                deviation.change(steps[number - 1])
    return steps


def comparable(steps: list[Step]) -> list[Step]:
    """Texts of errors are DuckDB's or Java's, but those of refused rows are the engine's own and are compared."""
    shown = RECORD.comparable(steps, Namespace(messages=True, no_audit=False, no_files=False))
    for step in shown:
        for name, table in (step["tables"] or {}).items():
            if name.startswith("audit.") and name != "audit.rejected":
                columns = table["row_columns"]
                hidden = [at for at, column in enumerate(columns) if column in {"EXCEPTION", "MESSAGE", "SQL"}]
                table["rows"] = [[None if at in hidden else v for at, v in enumerate(row)] for row in table["rows"]]
                table["rows"].sort(key=lambda row: json.dumps(row, default=str))
    return shown


@pytest.mark.parametrize(("name", "loader"), RUNS)
def test_the_engine_makes_of_a_project_what_the_real_one_makes(name: str, loader: str, tmp_path: Path) -> None:
    found = comparable(run(name, loader, tmp_path))
    expected = comparable(right(name, loader))
    for expected_step, found_step in zip(expected, found, strict=True):
        for key in ("commands", "files", "tables"):
            assert found_step[key] == expected_step[key], f"step {expected_step['step']}: {key}"


def test_a_deviation_has_a_defect_to_answer() -> None:
    recorded = {name: json.loads((CORPUS / name / "run.json").read_text()).get("defects") for name, _ in RUNS}
    unmarked = {"csv_line_ends", "types_offsets"}  # recorded later, without a list of their defects
    found = [one for one in DEVIATIONS if not recorded[one.project] and one.project not in unmarked]
    assert found == []


def test_the_patterns_of_types_are_used_with_both_loaders(tmp_path: Path) -> None:
    last = run("types_offsets", "native", tmp_path)[-1]["tables"]
    expected = right("types_offsets", "spark")[-1]["tables"]
    names = [name for name in expected if name.startswith("tz.")]
    assert {name: last[name]["rows"] for name in names} == {name: expected[name]["rows"] for name in names}
