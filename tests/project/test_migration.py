from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from starlake_dagster_assets.project.files.migration import migrate


def strategy(**table):
    return migrate("table", {"name": "t", **table})["table"]["metadata"]["writeStrategy"]


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        ("table", {"schema": {"name": "t"}}, {"table": {"name": "t"}}),
        ("table", {"schemas": [{"name": "t"}, {"name": "u"}]}, {"table": {"name": "t"}}),
        ("table", {"tables": [{"name": "t"}]}, {"table": {"name": "t"}}),
        ("table", {"name": "t", "flat": "true"}, {"table": {"name": "t"}}),
        ("load", {"name": "d"}, {"load": {"name": "d"}}),
        (
            "load",
            {"load": {"name": "d", "tables": [{"name": "t"}]}},
            {"load": {"name": "d"}, "tables": [{"name": "t"}]},
        ),
        (
            "load",
            {"load": {"name": "d", "schemas": [{"name": "t"}]}},
            {"load": {"name": "d"}, "tables": [{"name": "t"}]},
        ),
        (
            "load",
            {"load": {"name": "d"}, "tables": [{"name": "t"}]},
            {"load": {"name": "d"}, "tables": [{"name": "t"}]},
        ),
        ("load", {"load": {"metadata": {"mode": "FILE"}}}, {"load": {"metadata": {}}}),
        (
            "task",
            {"task": {"attributesDesc": [], "dataset": "x", "engine": "SPARK", "sqlEngine": "y"}},
            {"task": {"attributes": [], "table": "x"}},
        ),
        ("task", {"task": {"write": "overwrite"}}, {"task": {"writeStrategy": {"type": "OVERWRITE"}}}),
        ("task", {"task": {"write": "ERROR_IF_EXISTS"}}, {"task": {"writeStrategy": {"type": "APPEND"}}}),
        (
            "task",
            {"task": {"write": "APPEND", "writeStrategy": {"type": "SCD2"}}},
            {"task": {"writeStrategy": {"type": "SCD2"}}},
        ),
        (
            "task",
            {"task": {"writeStrategy": {"type": "UPSERT_BY_KEY"}}},
            {"task": {"writeStrategy": {"type": "UPSERT_BY_KEY"}}},
        ),
        (
            "task",
            {"task": {"merge": {"key": ["a"]}}},
            {"task": {"writeStrategy": {"type": "DELETE_THEN_INSERT", "key": ["a"]}}},
        ),
        ("task", {"task": {"sink": {"type": "BQ", "timestamp": "d"}}}, {"task": {"sink": {"partition": ["d"]}}}),
        (
            "transform",
            {"transform": {"default": {"write": "OVERWRITE"}, "tasks": [{"dataset": "x"}]}},
            {"transform": {"default": {"writeStrategy": {"type": "OVERWRITE"}}, "tasks": [{"table": "x"}]}},
        ),
        ("extract", {"extract": {"globalJdbcSchema": {}}}, {"extract": {"default": {}}}),
        ("types", {"types": [1]}, {"types": [1]}),
        ("env", {"a": "b"}, {"env": {"a": "b"}}),
    ],
)
def test_rows(kind, document, expected):
    assert migrate(kind, document) == {"version": "1", **expected}


def test_write_strategies_of_tables():
    assert strategy(metadata={"write": "OVERWRITE"}) == {"type": "OVERWRITE"}
    assert strategy(metadata={"writeStrategy": {"type": "UPSERT_BY_KEY"}}) == {"type": "DELETE_THEN_INSERT"}
    assert strategy(metadata={"writeStrategy": {"types": {"UPSERT_BY_KEY": "x", "APPEND": "y"}}}) == {
        "types": {"DELETE_THEN_INSERT": "x", "APPEND": "y"}
    }
    assert strategy(merge={"key": ["a"], "timestamp": "t"}) == {
        "type": "UPSERT_BY_KEY_AND_TIMESTAMP",
        "key": ["a"],
        "timestamp": "t",
    }
    assert strategy(merge={"key": ["a"]}) == {"type": "DELETE_THEN_INSERT", "key": ["a"]}
    assert strategy(merge={"delete": "x"}, metadata={"write": "OVERWRITE"}) == {"type": "OVERWRITE"}
    own = {"writeStrategy": {"type": "OVERWRITE_BY_PARTITION"}}
    assert strategy(merge={"key": ["a"]}, metadata=own) == {"type": "OVERWRITE_BY_PARTITION", "key": ["a"]}
    own = {"writeStrategy": {"on": "TARGET", "key": ["b"]}}
    assert strategy(merge={"key": ["a"]}, metadata=own) == {"type": "DELETE_THEN_INSERT", "key": ["b"], "on": "TARGET"}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({"type": "UPSERT_BY_KEY_AND_TIMESTAMP"}, "UPSERT_BY_KEY_AND_TIMESTAMP"),
        ({"types": {"APPEND": "dayOfWeek != 7"}}, None),
        ({"key": ["id"]}, "OVERWRITE_BY_PARTITION"),
        (None, "OVERWRITE_BY_PARTITION"),
    ],
)
def test_an_explicit_strategy_takes_precedence_over_dynamic_partition_overwrite(written, found):
    sink = {"partition": ["p"], "dynamicPartitionOverwrite": True}
    own = {} if written is None else {"writeStrategy": written}
    assert strategy(metadata={"sink": sink, **own}).get("type") == found
    assert migrate("task", {"task": {"sink": sink, **own}})["task"]["writeStrategy"].get("type") == found


def test_the_timestamp_of_a_sink_takes_precedence_over_its_partition():
    sink = migrate("task", {"task": {"sink": {"timestamp": "d", "partition": ["p"]}}})["task"]["sink"]
    assert sink == {"partition": ["d"]}


def test_root_level_lists_of_types_and_refs_are_read(load: Callable[..., Any]) -> None:
    files = {
        "types/default.sl.yml": "- {name: code, pattern: '[A-Z]+', primitiveType: string}\n",
        "refs.sl.yml": "- input: {table: a}\n  output: {domain: d, table: b}\n",
    }
    project, problems = load(files)
    assert not problems
    assert "code" in project.types and len(project.application.refs) == 1


def test_sinks():
    table = migrate(
        "table",
        {"metadata": {"sink": {"type": "FS", "partition": {"attributes": ["a"]}, "dynamicPartitionOverwrite": "true"}}},
    )["table"]
    assert table["metadata"] == {
        "sink": {"partition": ["a"]},
        "writeStrategy": {"type": "OVERWRITE_BY_PARTITION"},
    }


def test_the_given_document_is_not_changed():
    document = {"load": {"name": "d", "tables": [{"name": "t", "merge": {"key": ["a"]}}]}}
    migrate("load", document)
    assert document == {"load": {"name": "d", "tables": [{"name": "t", "merge": {"key": ["a"]}}]}}


def test_an_old_project_loads(load):
    project, problems = load(
        {
            "load/shop/_config.sl.yml": """\
name: shop
metadata: {mode: FILE, write: OVERWRITE}
tables:
  - name: inline
    pattern: inline.*
    attributes: [{name: id}]
  - name: other
    pattern: other.*
    attributes: [{name: id}]
""",
            "load/shop/other.sl.yml": "schema:\n"
            "  {name: other, pattern: o.*, attributes: [{name: id}], merge: {key: [id]}}\n",
            "transform/kpi/one.sl.yml": "dataset: result\nwrite: OVERWRITE\nsql: select 1 as x\n",
        }
    )
    assert [problem.code for problem in problems] == ["duplicate-table"]
    by_stem = {table.stem: table for table in project.tables}
    assert by_stem["inline"].metadata.write_strategy.type == "OVERWRITE"
    assert by_stem["inline"].location.line == 4
    assert by_stem["other"].metadata.write_strategy.type == "DELETE_THEN_INSERT"
    assert (project.tasks[0].id, project.tasks[0].write_strategy.type) == ("kpi.result", "OVERWRITE")


def test_problems_of_older_files_have_the_line_of_their_own_keys(load: Callable[..., Any]) -> None:
    lines = "name: orders\n  pattern: x\n  attributes: [{name: a}]\n  metadata:\n    fromat: DSV\n"
    for text, line in ((f"schema:\n  {lines}", 6), (f"# old\nschemas:\n- {lines}", 7), (f"tables:\n- {lines}", 6)):
        _, problems = load({"load/sb/orders.sl.yml": text})
        assert [(p.key, p.line) for p in problems] == [("table.metadata.fromat", line)]


def test_the_type_of_an_old_audit_sink_is_dropped(load: Callable[..., Any]) -> None:
    old = "application:\n  audit:\n    domain: a\n    sink:\n      type: FsSink\n"
    project, problems = load({"application.sl.yml": old})
    assert not problems
    assert project.application.audit.domain == "a"
    _, problems = load({"application.sl.yml": f"version: 1\n{old}"})
    assert [p.key for p in problems] == ["application.audit.sink.type"]
