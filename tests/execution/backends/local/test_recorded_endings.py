"""The scripted program ends as the real one was recorded: exit code, files of the areas, lines that are read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.script import Scripted, descendants

TRANSCRIPTS = Path(__file__).parents[3] / "transcripts"
NATIVE = {"do": "load", "move": True, "native": True}
SPARK = {"do": "load", "move": True}
CSV_ERROR = "java.sql.SQLException: Conversion Error: CSV Error on Line: "
BAD = {**NATIVE, "do": "fail", "error": f"{CSV_ERROR}3"}
NO_RESULT = (
    "java.sql.SQLException: Invalid Input Error: Attempting to execute an unsuccessful or closed pending query result"
)
LOADS: dict[str, dict[str, Any]] = {
    "load-domain-native": {
        "tables": {
            "orders": {**NATIVE, "rows": 20, "format": "JSON_FLAT"},
            "customers": {**NATIVE, "rows": 10},
            "products": {**NATIVE, "rows": 20, "format": "JSON_FLAT"},
        },
        "order": ["orders", "customers", "products"],
    },
    "load-part-failure-native": {
        "tables": {
            "customers": {**NATIVE, "do": "part", "rows": 10, "error": f"{CSV_ERROR}3"},
            "products": {**NATIVE, "rows": 20, "format": "JSON_FLAT"},
            "orders": {**NATIVE, "rows": 20, "format": "JSON_FLAT"},
        },
        "order": ["customers", "products", "orders"],
    },
    "load-rejects-spark": {
        "tables": {
            "customers": {**SPARK, "rows": 2, "rejected": 2},
            "orders": {**SPARK, "rows": 20, "format": "JSON_FLAT"},
        }
    },
    "load-rejects-all-on-error-spark": {
        "tables": {"customers": {**SPARK, "do": "refuse", "rows": 2, "rejected": 2}},
    },
    "load-no-file": {"asks": "orders"},
    "load-adaptive-no-strategy": {"broken": "java.lang.RuntimeException: Could not find valid strategy for point with"},
    "load-expectation-fail-on-error": {
        "tables": {
            "good": {**NATIVE, "rows": 2},
            "poor": {
                **NATIVE,
                "rows": 2,
                "fail_on_error": True,
                "expectations": {"x": "select 1"},
                "error": "java.lang.Exception: 2 Expectations failed",
            },
        }
    },
    "load-json-native-zero-rows": {"tables": {"basket": {**NATIVE, "rows": 0, "format": "JSON"}}},
    **{
        f"load-log-level-{level}": {
            "tables": {"reading": {**NATIVE, "do": "fail", "error": f"{CSV_ERROR}3"}, "other": NATIVE},
            "order": ["reading", "other"],
        }
        for level in ("error", "warn")
    },
    "load-native-csv-conversion-error": {"tables": {"big": {**NATIVE, "do": "fail", "error": f"{CSV_ERROR}2"}}},
    "load-native-csv-error-many-lines": {
        "tables": {"big": {**NATIVE, "do": "fail", "error": NO_RESULT}, "fine": {**NATIVE, "rows": 1}}
    },
    "load-overlapping-file": {"tables": {"bd": NATIVE, "bday": NATIVE}},
    "load-overwrite-second-time": {"tables": {"a": {**NATIVE, "again": True}}},
    "load-two-files-order": {
        "tables": {
            "a": {**NATIVE, "files": ["a_1.csv", "a_0.csv"]},
            "b": {**NATIVE, "files": ["b_2.csv", "b_1.csv", "b_3.csv"]},
        },
        "order": ["b", "a"],
    },
    "load-sigterm": {"tables": {"t": {**NATIVE, "do": "hang"}}, "signal": "group"},
    "load-sigterm-jvm-only": {"tables": {"t": {**NATIVE, "do": "hang"}}, "signal": "program"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "stage": {},
    "stage-overlapping-file": {"clash": "bday_1.csv", "incoming": ["bd_1.csv", "bday_1.csv"]},
    "preload-imported-ready": {"incoming": ["orders_1.json", "customers_1.csv"]},
    "preload-imported-not-ready": {},
    "preload-not-ready-sentinel": {"leaves": "not.ready"},
    "preload-ack-missing": {},
    "preload-ack-present": {"has": "GO.ack"},
    "preload-pending-ready": {"stage": ["orders_1.json"]},
    "transform-ok": {},
    "transform-presql-first-run": {},
    "transform-two-statements-parse-off": {},
    "transform-unknown-column": {"task": {"do": "fail", "error": NO_RESULT}},
    "transform-self-reading-first-run": {"task": {"do": "fail", "error": NO_RESULT}},
    "transform-two-statements": {
        "task": {"do": "fail", "error": "java.sql.SQLException: Parser Error: syntax error at end of input"}
    },
    "transform-unknown-task": {"task": {"do": "unknown"}},
    "unknown-command": {},
    "unknown-option": {},
    "validate": {"validates": True},
    "validate-good": {"validates": True},
}

LINES = (
    re.compile(r"\d ERROR (?!JdbcDbUtils|SchemaHandler)(?P<error>[\w$]+: .*)$"),
    re.compile(r"^(?P<error>Exception in thread .*|Unknown \w.*|Error: (?:Unknown|Missing|Option) .*)$"),
    re.compile(r"INFO IngestionWorkflow: (?P<files>Found FileInfo.*)$"),
    re.compile(
        r"INFO \w+: (?P<progress>No Files Found.*|Ingest resolved file.*|Backing up file.*|Some .*|All tables.*)"
    ),
    re.compile(r"INFO \w+: (?P<progress>ingestion-summary .*)$"),
    re.compile(r"INFO (?P<end>\w+\$?: (?:Preload )?Successfully (?!loaded).*|PreLoadCmd\$: Wrote .*)$"),
    re.compile(r"^(?P<end>Starlake failed to execute command with args .*?)(?=\d\d/\d\d/\d\d \d\d:|$)"),
    re.compile(r"^(?P<table>\|.*\|)$"),
)
PRINTED = re.compile(
    r"^(Loading|Format:|File\(s\):|Table:|(Native )?Load summary:|Input records:|Accepted:|Rejected:|Data successfully|"
    r"Moving|Archive duration|Found \d|ERROR   :|SUCCESS|ERROR: Unknown)"
)


def substance(text: str, root: str) -> list[tuple[str, str]]:
    """The lines that are read, without times, paths of the machine, sizes of files and stack frames."""
    found: list[tuple[str, str]] = []
    for line in text.replace(root, "/project").splitlines():
        for match in (pattern.search(line) for pattern in LINES):
            for kind, words in (match.groupdict() if match else {}).items():
                known = ",".join(sorted(re.findall(r"FileInfo\((.*?),", words))) if kind == "files" else words.strip()
                found.append((kind, known))
    return found


def printed(text: str, root: str) -> list[str]:
    """The lines of stdout that a person reads."""
    lines = text.replace(root, "/project").splitlines()
    return [re.sub(r"\d+ ?ms", "1ms", line.strip()) for line in lines if PRINTED.match(line)]


def run(scripted: Scripted, run: dict[str, Any], root: Path, wanted: str | None) -> tuple[int, str, str]:
    """Runs the recorded command; exit code, stdout and stderr."""
    environ = {**os.environ, "SL_LOG_LEVEL": "info", **run["env"], **scripted.environ, "SL_ROOT": str(root)}
    argv = [
        str(root / word.removeprefix("/project/")) if word.startswith("/project/") else word for word in run["argv"]
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [str(scripted.path), *argv], env=environ, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        before = ""
        while wanted is not None and "Table:" not in before:
            assert process.stdout is not None
            before += process.stdout.readline()
        if wanted is not None:
            (program,) = descendants(process.pid)
            if wanted == "group":  # the launcher ends by its own signal before it can see the end of the program
                process.terminate()
                process.wait()
            os.kill(program, signal.SIGTERM)
        out, err = process.communicate()
    return process.returncode, before + out, err


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in (root / "datasets").rglob("*") if path.is_file())


@pytest.mark.parametrize("name", [*LOADS, *OTHERS])
def test_the_scripted_program_ends_as_the_real_one(tmp_path: Path, name: str):
    folder = TRANSCRIPTS / name
    recorded = json.loads((folder / "run.json").read_text())
    out, err = ((folder / part).read_bytes().decode("utf-8", "replace") for part in ("stdout", "stderr"))
    told = {**LOADS, **OTHERS}[name]
    values = dict(zip(recorded["argv"], recorded["argv"][1:], strict=False))
    domain = values.get("--domains") or values.get("--domain") or ""
    root = tmp_path / "project"
    areas = {area: list(told.get(area, ())) for area in ("stage", "incoming")}
    areas["incoming"] += re.findall(r"^Moving (?!\d)(\S+)$", out, re.M) if name == "stage" else []
    areas["stage"] += re.findall(r"FileInfo\(file:/project/datasets/stage/\w+/(.*?),", err.partition("Found File")[2])
    for area, names in areas.items():
        (root / "datasets" / area / domain).mkdir(parents=True)
        for one in dict.fromkeys(names):
            (root / "datasets" / area / domain / one).write_text("id\n1\n")
    if "log-level" in name:  # no line names the files
        for one in ("other_1.csv", "reading_1.csv"):
            (root / "datasets/stage/bad" / one).write_text("id\n1\n")
    if has := told.get("has"):
        (root / has).touch()
    scripted = Scripted(tmp_path / "scripted")
    scripted.tables({f"{domain}.{table}": deed for table, deed in told.get("tables", {}).items()})
    scripted.tell(**{key: told[key] for key in ("order", "broken", "clash") if key in told})
    scripted.tasks({values.get("--name", ""): told["task"]} if "task" in told else {})
    if told.get("validates"):
        scripted.tell(validate=printed(out, "/project"))
    code, shown, logged = run(scripted, recorded, root, told.get("signal"))
    assert code == recorded["exit"], logged
    assert substance(logged, str(root)) == substance(err, "/project")
    assert printed(shown, str(root)) == printed(out, "/project")
    after = recorded.get("after")
    if after is not None and not name.startswith("transform") and not told.get("validates"):
        here = ("datasets/archive/o/a_1.csv",) if name == "load-overwrite-second-time" else ()  # of the load before
        assert files_of(root) == sorted({*after["files"]} - {*here})
    assert not told.get("has") or not (root / told["has"]).exists()
    assert not told.get("leaves") or (root / told["leaves"]).exists()


def test_every_transcript_is_played_here_or_elsewhere():
    """A new transcript needs an ending."""
    consoles = {
        "console-mixed",
        "load-unknown-table",
    }  # the console's own tests; a project that does not have the table
    assert {path.name for path in TRANSCRIPTS.iterdir()} == {*LOADS, *OTHERS, *consoles}
