"""Every key that Starlake documents is accepted at its place; a wrong one next to it is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

TEXT, FLAG, NUMBER = "text", True, 1
NAMES: list[Any] = ["a"]
MAP: dict[str, Any] = {"k": "v"}
REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "starlake-format.md"

STRATEGY = {"type": "SCD2", "key": NAMES, "timestamp": TEXT, "on": "TARGET", "startTs": TEXT, "endTs": TEXT}
STRATEGY |= {"queryFilter": TEXT, "types": {"APPEND": "true"}}
SINK = {"connectionRef": "d", "partition": NAMES, "clustering": NAMES, "days": NUMBER, "requirePartitionFilter": FLAG}
SINK |= {"materializedView": "TABLE", "enableRefresh": FLAG, "refreshIntervalMs": NUMBER, "sharding": NAMES, "id": TEXT}
SINK |= {"format": TEXT, "extension": TEXT, "coalesce": FLAG, "options": MAP, "path": TEXT}
FRESHNESS = {"warn": "1 day", "error": "2 days"}
EXPECTATION = {"expect": "e('a')", "failOnError": FLAG}
RLS = {"name": TEXT, "predicate": "TRUE", "grants": NAMES, "description": TEXT}
ACL = {"role": TEXT, "grants": NAMES, "name": TEXT}
ATTRIBUTE = {"name": "a", "type": "struct", "array": FLAG, "required": FLAG, "rename": "b", "privacy": "NONE"}
ATTRIBUTE |= {"script": TEXT, "default": TEXT, "ignore": FLAG, "trim": "BOTH", "position": {"first": 0, "last": 1}}
ATTRIBUTE |= {"foreignKey": "a.b", "comment": TEXT, "tags": NAMES, "sample": TEXT, "metricType": "NONE"}
ATTRIBUTE |= {"accessPolicy": TEXT, "attributes": [{"name": "c"}]}
METADATA = {"format": "DSV", "encoding": "UTF-8", "separator": ";", "quote": "'", "escape": "\\", "withHeader": FLAG}
METADATA |= {
    "multiline": FLAG,
    "array": FLAG,
    "nullValue": TEXT,
    "emptyIsNull": FLAG,
    "options": MAP,
    "directory": "/d",
}
METADATA |= {"ack": TEXT, "loader": "native", "writeStrategy": STRATEGY, "sink": SINK, "schedule": "daily"}
METADATA |= {"dagRef": TEXT, "freshness": FRESHNESS, "extensions": NAMES}
SHARED = {"comment": TEXT, "primaryKey": NAMES, "presql": NAMES, "postsql": NAMES, "tags": NAMES, "streams": NAMES}
SHARED |= {"expectations": [EXPECTATION], "rls": [RLS], "acl": [ACL]}
TABLE = {"name": "t", "pattern": "t", "attributes": [ATTRIBUTE], "rename": "tt", "metadata": METADATA, "sample": TEXT}
TABLE |= {"patternSample": TEXT, "filter": TEXT, **SHARED}
TASK = {
    "name": TEXT,
    "domain": "kk",
    "table": "t",
    "database": TEXT,
    "sql": "select 1 as a",
    "parseSQL": FLAG,
    **SHARED,
}
TASK |= {"connectionRef": "d", "sink": SINK, "writeStrategy": STRATEGY, "schedule": "daily", "dagRef": TEXT}
TASK |= {"freshness": FRESHNESS, "attributes": [ATTRIBUTE], "syncStrategy": "ADD", "taskTimeoutMs": NUMBER}
TASK |= {"dataset_triggering_strategy": TEXT, "partition": NAMES, "python": TEXT}
AUDIT = {"active": FLAG, "domain": TEXT, "maxErrors": NUMBER, "detailedLoadAudit": FLAG, "sink": SINK, "database": TEXT}
AUDIT |= {"path": TEXT, "sql": TEXT, "domainRejected": TEXT, "domainExpectation": TEXT}
AREAS = dict.fromkeys(("incoming", "stage", "unresolved", "archive", "ingesting", "replay"), TEXT)
CONNECTION = {"type": "jdbc", "loader": "native", "sparkFormat": TEXT, "quote": "'", "separator": ".", "options": MAP}
CONNECTION |= {"_transpileDialect": "duckdb"}
REF = {"input": {"database": "a", "domain": "b", "table": "c"}, "output": {"database": "", "domain": "b", "table": "c"}}
APPLICATION = {"connections": {"d": CONNECTION}, "area": AREAS, "audit": AUDIT, "refs": [REF], "loader": "spark"}
APPLICATION |= dict.fromkeys(("connectionRef", "loadConnectionRef", "transformConnectionRef"), "d")
APPLICATION |= {"expectations": {"active": FLAG, "failOnError": FLAG}, "dagRef": {"load": TEXT, "transform": TEXT}}
APPLICATION |= {
    "schedulePresets": {"daily": "0 0 * * *"},
    "accessPolicies": {"apply": FLAG},
    "metrics": {"active": FLAG},
}
APPLICATION |= {"lock": {"path": TEXT, "timeout": -1, "pollTime": 1, "refreshTime": 1}, "privacy": {"options": MAP}}
APPLICATION |= {"sparkScheduling": {"maxJobs": NUMBER}, "spark": MAP, "extra": MAP, "hadoop": MAP, "dsvOptions": MAP}
APPLICATION |= {"kafka": {}, "jdbcEngines": {}, "internal": {}, "http": {}, "udfs": TEXT, "env": "", "timezone": "UTC"}
TEXTS = "database tenant datasets metadata dags types macros tests writeStrategies loadStrategies loadStrategyClass "
TEXTS += "defaultWriteFormat scd2StartTimestamp scd2EndTimestamp jobIdEnvName archiveTablePattern duckdbPath "
TEXTS += "duckdbExtensions pythonLibsDir sqlParameterPattern"
FLAGS = "archive grouped rejectAllOnError rejectWithValue sinkReplayToFile emptyIsNull csvOutput syncYamlWithDb "
FLAGS += "syncSqlWithYaml createSchemaIfNotExists autoExportSchema validateOnLoad forceHalt archiveTable "
FLAGS += "prunePartitionOnMerge duckdbMode duckDbEnableExternalAccess"
NUMBERS = "groupedMax maxParTask maxParCopy longJobTimeoutMs shortJobTimeoutMs onExceptionRetries"
APPLICATION |= dict.fromkeys(TEXTS.split(), TEXT) | dict.fromkeys(FLAGS.split(), FLAG)
APPLICATION |= dict.fromkeys(NUMBERS.split(), NUMBER)
TYPE = {"name": "x", "pattern": ".*", "primitiveType": "string", "zone": TEXT, "sample": TEXT, "comment": TEXT}
TYPE |= {"ddlMapping": MAP}
FILES: dict[str, dict[str, Any]] = {
    "load/sales/_config.sl.yml": {
        "load": {
            "name": "sales",
            "rename": "s2",
            "database": TEXT,
            "metadata": METADATA,
            "comment": TEXT,
            "tags": NAMES,
        }
    },
    "load/sales/t.sl.yml": {"table": TABLE},
    "transform/kk/_config.sl.yml": {"transform": {"name": "kk", "comment": TEXT, "default": TASK, "tasks": [TASK]}},
    "transform/kk/one.sl.yml": {"task": TASK},
    "application.sl.yml": {"application": APPLICATION},
    "types/types.sl.yml": {"types": [TYPE]},
    "refs.sl.yml": {"refs": [REF]},
    "dags/d.sl.yml": {"dag": {"template": "a__b.py.j2", "filename": "f.py", "comment": TEXT, "options": MAP}},
}
REFUSED = {"unknown-key", "invalid-value", "missing-key", "yaml"}


def written(document: dict[str, Any]) -> str:
    return json.dumps({"version": 1, **document})  # which is YAML too


def wrong_keys(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of each mapping whose keys are Starlake's."""
    if isinstance(value, Mapping):
        if value is not MAP and "APPEND" not in value and "d" not in value and "daily" not in value:
            yield path
        for key, held in value.items():
            if key not in {"spark", "extra", "kafka", "jdbcEngines", "hadoop"}:
                yield from wrong_keys(held, (*path, key))
    elif isinstance(value, list):
        for index, held in enumerate(value):
            yield from wrong_keys(held, (*path, index))


@pytest.mark.parametrize("path", FILES)
def test_every_documented_key_is_accepted(load: Any, path: str) -> None:
    _, problems = load({path: written(FILES[path])})
    assert [str(problem) for problem in problems if problem.code in REFUSED] == []


@pytest.mark.parametrize("path", FILES)
def test_a_wrong_key_at_each_place_is_an_error(load: Any, path: str) -> None:
    for at in wrong_keys(FILES[path]):
        if not at:
            continue
        document = json.loads(json.dumps(FILES[path]))
        held = document
        for key in at:
            held = held[key]
        held["notAKey"] = 1
        _, problems = load({path: written(document)})
        found = [problem.key for problem in problems if problem.code == "unknown-key"]
        assert any(key.endswith("notAKey") for key in found), (at, found)


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the format reference lies beside the repository of the authors")
def test_the_reference_documents_no_other_key() -> None:
    known = set(re.findall(r'"(\w+)"', json.dumps(FILES)))
    text = REFERENCE.read_text(encoding="utf-8")
    sections = re.split(r"^### ", text, flags=re.M)
    missing: set[str] = set()
    for section in sections:
        if re.match(r"2\.[1-7] ", section):
            for row in re.findall(r"^\| ([^|]+) \|", section, flags=re.M):
                missing |= set(re.findall(r"[A-Za-z_][\w]+", re.sub(r"\([^)]*\)", "", row))) - known
    defaults = {"false", "json", "httpfs", "spatial"}
    assert missing - {"key", "for", "type", *defaults} == set()


@pytest.mark.parametrize(("key", "path"), [("table.name", "name"), ("table.attributes.0.name", "attribute")])
def test_an_empty_name_is_an_error(load: Any, key: str, path: str) -> None:
    table = {"name": "t", "pattern": "t", "attributes": [{"name": "a"}]}
    (table if path == "name" else table["attributes"][0])["name"] = " "
    project, problems = load({"load/sales/t.sl.yml": written({"table": table})})
    assert [(problem.key, problem.code) for problem in problems if problem.code in REFUSED] == [(key, "invalid-value")]
    assert not project.tables


def test_an_empty_name_of_a_directory_is_that_of_the_directory(load: Any) -> None:
    files = {
        "load/sales/_config.sl.yml": written({"load": {"name": ""}}),
        "load/sales/t.sl.yml": written({"table": {"name": "t", "pattern": "t", "attributes": [{"name": "a"}]}}),
        "transform/kk/_config.sl.yml": written({"transform": {"name": ""}}),
        "transform/kk/one.sl.yml": written({"task": {"name": "", "table": "", "domain": "", "sql": "select 1 as a"}}),
    }
    project, problems = load(files)
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert ([table.id for table in project.tables], [task.id for task in project.tasks]) == (["sales.t"], ["kk.one"])
