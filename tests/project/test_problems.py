from __future__ import annotations

import pytest

from starlake_dagster_assets.project.load import load_project
from tests.project.texts import APPLICATION, ORDERS


def found(problems, code):
    return [(problem.file, problem.line, problem.key) for problem in problems if problem.code == code]


TABLE = "load/shop/orders.sl.yml"
TASK = "transform/kpi/one.sl.yml"


@pytest.mark.parametrize(
    ("path", "text", "code", "line", "key", "words"),
    [
        (TABLE, ORDERS + "  renam: x\n", "unknown-key", 10, "table.renam", "`rename`"),
        (TABLE, ORDERS + "  renam:\n", "unknown-key", 10, "table.renam", "`rename`"),
        (TABLE, ORDERS.replace("type: int", "typ: int"), "unknown-key", 7, "table.attributes.0.typ", "`type`"),
        (
            TABLE,
            ORDERS + "  metadata:\n    sink: {connection_ref: x}\n",
            "unknown-key",
            11,
            "table.metadata.sink.connection_ref",
            "`connectionRef`",
        ),
        (TABLE, ORDERS + "  metadata:\n    mode: FILE\n", "unknown-key", 11, "table.metadata.mode", "unknown key"),
        (TABLE, ORDERS + "  metadata:\n    format: csv\n", "invalid-value", 11, "table.metadata.format", "`DSV`"),
        (
            TABLE,
            ORDERS + "  metadata:\n    withHeader: yes\n",
            "invalid-value",
            11,
            "table.metadata.withHeader",
            "true or false",
        ),
        (TABLE, ORDERS + "  tags: a\n", "invalid-value", 10, "table.tags", "a list"),
        (TABLE, ORDERS + "  comment: {a: b}\n", "invalid-value", 10, "table.comment", "a text"),
        (TABLE, ORDERS.replace("  name: orders\n", ""), "missing-key", 2, "table.name", "`name`"),
        (TABLE, ORDERS.replace("table:", "tabel:"), "unknown-key", 2, "tabel", "`table`"),
        (TABLE, ORDERS.replace("version: 1", "version: 2"), "invalid-value", 1, "version", "expected 1"),
        (TABLE, ORDERS + "  name: twice\n", "duplicate-key", 10, "table.name", "twice"),
        (TABLE, ORDERS + "  comment: [\n", "yaml", 11, "", "not valid YAML"),
        (TABLE, ORDERS + "  comment: {% if %}\n", "jinja", 10, "", "Jinja"),
        (TABLE, "- a\n", "invalid-value", 1, "", "mapping"),
        (TABLE, "", "missing-key", 1, "", "the root key `table`"),
        (
            TABLE,
            ORDERS.replace('"orders-.*.csv"', '"orders-(.csv"'),
            "invalid-pattern",
            4,
            "table.pattern",
            "regular expression",
        ),
        (TABLE, ORDERS.replace("type: int", "type: itn"), "unknown-type", 7, "table.attributes.0.type", "`int`"),
        (
            TABLE,
            ORDERS.replace("type: int", "type: struct"),
            "struct-without-attributes",
            6,
            "table.attributes.0",
            "struct",
        ),
        (
            TABLE,
            ORDERS.replace("type: int", "privacy: md6"),
            "unknown-privacy",
            7,
            "table.attributes.0.privacy",
            "`md5`",
        ),
        (TABLE, ORDERS.replace("type: int", "script: 1 + 1"), "script-order", 8, "table.attributes.1", "script"),
        (TABLE, ORDERS + "    - name: ID\n", "duplicate-column", 10, "table.attributes.2", "twice"),
        (TABLE, ORDERS + "  primaryKey: [idd]\n", "unknown-column", 10, "table.primaryKey", "`id`"),
        (
            TABLE,
            ORDERS + "  metadata:\n    schedule: dayly\n",
            "invalid-schedule",
            11,
            "table.metadata.schedule",
            "`daily`",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    schedule: 0 25 * * *\n",
            "invalid-schedule",
            11,
            "table.metadata.schedule",
            "hour",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    format: POSITION\n",
            "missing-position",
            6,
            "table.attributes.0",
            "position",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    sink: {connectionRef: duck}\n",
            "unknown-connection",
            11,
            "table.metadata.sink.connectionRef",
            "`duckdb`",
        ),
        (TABLE, ORDERS + "  metadata:\n    dagRef: nope\n", "unknown-dag", 11, "table.metadata.dagRef", "dags"),
        (
            TABLE,
            ORDERS + "  metadata:\n    freshness: {warn: 3 seconds}\n",
            "invalid-duration",
            11,
            "table.metadata.freshness.warn",
            "`3 days`",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    freshness: {warn: 3 days, error: 24 hours}\n",
            "freshness-order",
            11,
            "table.metadata.freshness.warn",
            "the error is reported after `24 hours`",
        ),
        (
            "load/shop/_config.sl.yml",
            "version: 1\nload:\n  metadata:\n    freshness: {error: soon}\n",
            "invalid-duration",
            4,
            "load.metadata.freshness.error",
            "`3 days`",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    writeStrategy: {type: UPSERT_BY_KEY}\n",
            "missing-key-columns",
            11,
            "table.metadata.writeStrategy",
            "key",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    writeStrategy:\n      type: UPSERT_BY_KEY\n      key: [amuont]\n",
            "unknown-column",
            13,
            "table.metadata.writeStrategy.key",
            "`amount`",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    writeStrategy: {type: OVERWRITE_BY_KEY, key: [id]}\n",
            "unknown-strategy",
            11,
            "table.metadata.writeStrategy.type",
            "`UPSERT_BY_KEY`",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    writeStrategy: {types: {SCD2: 'true'}}\n",
            "unknown-strategy",
            11,
            "table.metadata.writeStrategy.types",
            "SCD2",
        ),
        (
            TABLE,
            ORDERS + "  metadata:\n    writeStrategy: {type: OVERWRITE_BY_PARTITION}\n",
            "missing-partition",
            11,
            "table.metadata.writeStrategy",
            "partition",
        ),
        ("load/shop/orders.yml", ORDERS, "ignored-file", None, "", ".sl.yml"),
        ("load/shop/deep/orders.sl.yml", ORDERS, "ignored-file", None, "", "nested"),
        ("load/shop/_config.sl.yml", "version: 1\nload:\n  nam: x\n", "unknown-key", 3, "load.nam", "`name`"),
        ("load/empty/_config.sl.yml", "version: 1\nload:\n  comment: x\n", "empty-domain", 1, "", "no table"),
        (TASK, "version: 1\ntask:\n  tags: [a]\n", "missing-sql", 2, "task", "one.sql"),
        (
            TASK,
            "version: 1\ntask:\n  sql: select 1 as x\n  dependsOn: [a]\n",
            "unknown-key",
            4,
            "task.dependsOn",
            "unknown key",
        ),
        (
            TASK,
            "version: 1\ntask:\n  sql: select 1 as x\n  connectionRef: duckdbb\n",
            "unknown-connection",
            4,
            "task.connectionRef",
            "`duckdb`",
        ),
        ("transform/kpi/one.sql", "select from where", "unparsable-sql", 1, "", "duckdb"),
        ("transform/kpi/one.sql", "select 1 from a.b where (", "broken-sql", 1, "", "the ( of line 1 is never closed"),
        ("transform/kpi/one.sql", "select 1\nfrom a.b where x = 'it", "broken-sql", 1, "", "the ' of line 2"),
        ("transform/kpi/one.sql", "select ')' -- (\n)", "broken-sql", 1, "", "the ) of line 2 closes nothing"),
        ("transform/kpi/one.sql", "select 1\n{% endif %}", "jinja", 2, "", "Jinja"),
        ("transform/kpi/one.sql", "select 1,\n{{ nope(1) }} as a", "unknown-function", 2, "", "`nope` does not exist"),
        ("transform/kpi/one.sql", "-- nothing\n", "missing-sql", 1, "", "empty"),
        ("transform/loose.sql", "select 1", "ignored-file", None, "", "no domain"),
        ("macros/m.j2", "{% macro a( %}", "jinja", 1, "", "Jinja"),
        ("env.sl.yml", "version: 1\nenv:\n  a: {{b}}\n", "yaml", 3, "", "text"),
        ("env.sl.yml", "version: 1\nenv:\n  a: [b]\n", "invalid-value", 3, "env.a", "text"),
        (
            "refs.sl.yml",
            "version: 1\nrefs:\n  - input: {table: '('}\n    output: {table: x}\n",
            "invalid-pattern",
            3,
            "refs.0.input.table",
            "regular",
        ),
        (
            "types/types.sl.yml",
            "version: 1\ntypes:\n  - name: a\n    patern: x\n    pattern: x\n",
            "unknown-key",
            4,
            "types.0.patern",
            "`pattern`",
        ),
        ("dags/d.sl.yml", "version: 1\ndag:\n  template: x\n", "missing-key", 2, "dag.filename", "filename"),
        ("extract/e.sl.yml", "- 1\n", "invalid-value", 1, "", "mapping"),
    ],
)
def test_every_problem_says_where_and_what(load, path, text, code, line, key, words):
    _, problems = load({path: text})
    matching = [problem for problem in problems if problem.code == code]
    assert matching, problems
    first = matching[0]
    assert (first.file, first.line, first.key) == (f"metadata/{path}", line, key)
    assert words in str(first)


def test_an_expectation_of_an_unknown_macro_names_the_nearest(load):
    calls = 'expectations: [{expect: "other.is_unique(1)"}, {expect: is_uniqe(2)}, {expect: "SL_THIS > 3"}]\n'
    _, problems = load(
        {
            "expectations/ours.j2": "{% macro is_unique(x) -%} select 0 {%- endmacro %}",
            TABLE: f"{ORDERS}  {calls}",
            TASK: f"version: 1\ntask:\n  {calls}",
            "transform/kpi/one.sql": "select 1 as x",
            "transform/kpi/_config.sl.yml": f"version: 1\ntransform:\n  default:\n    {calls}",
        }
    )
    assert found(problems, "unknown-macro") == [
        (f"metadata/{TABLE}", 10, "table.expectations.1.expect"),
        ("metadata/transform/kpi/_config.sl.yml", 4, "transform.default.expectations.1.expect"),
        (f"metadata/{TASK}", 3, "task.expectations.1.expect"),
    ]
    assert all("Did you mean `is_unique`?" in str(problem) for problem in problems if problem.code == "unknown-macro")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (ORDERS.replace("name: orders", "name: {{UNSET}}"), 3, "table.name"),
        (ORDERS.replace('"orders-.*.csv"', "{{ UNSET }}"), 4, "table.pattern"),
        (ORDERS.replace("name: id", "name: {{UNSET}}"), 6, "table.attributes.0.name"),
    ],
)
def test_a_variable_that_is_not_set_is_named_as_the_cause(load, text, line, key):
    _, (problem,) = load({TABLE: text})
    assert (problem.code, problem.line, problem.key) == ("unset-variable", line, key)
    assert "the variable `UNSET` is not set" in str(problem) and "--option UNSET=…" in str(problem)


def test_a_schedule_that_cannot_be_read_is_an_error_and_leaves_its_table(load):
    project, problems = load({TABLE: f"{ORDERS}  metadata:\n    schedule: 30 0 5 * * *\n"})
    assert [(problem.code, problem.severity) for problem in problems] == [("invalid-schedule", "error")]
    assert [(table.raw, table.cron) for table in project.tables] == [("shop.orders", None)]


def test_one_broken_file_does_not_hide_the_others(load):
    files = {
        "load/shop/bad.sl.yml": "version: 1\ntable: [",
        "load/shop/orders.sl.yml": ORDERS,
        "transform/kpi/bad.sl.yml": "version: 1\ntask:\n  x: 1\n",
        "transform/kpi/bad.sql": "select 1 as x",
        "transform/kpi/good.sql": "select 1 as x",
        "types/default.sl.yml": "version: 1\ntypes: 3\n",
    }
    project, problems = load(files)
    assert [table.raw for table in project.tables] == ["shop.orders"]
    assert [task.raw for task in project.tasks] == ["kpi.good"]
    assert [problem.file for problem in problems] == sorted(problem.file for problem in problems)
    assert {problem.file for problem in problems} == {
        "metadata/load/shop/bad.sl.yml",
        "metadata/transform/kpi/bad.sl.yml",
        "metadata/types/default.sl.yml",
    }


def test_one_wrong_key_of_the_application_is_one_problem(load):
    application = APPLICATION.replace("connectionRef: duckdb", "connectionRef: duckdb\n  grouped: maybe\n  zzz: 1")
    project, problems = load({"application.sl.yml": application, "load/shop/orders.sl.yml": ORDERS})
    assert [problem.key for problem in problems] == ["application.grouped", "application.zzz"]
    assert project.tables[0].connection == "duckdb"


def test_two_domains_of_one_name(load):
    config = "version: 1\nload: {name: same}\n"
    _, problems = load(
        {
            "load/one/_config.sl.yml": config,
            "load/one/orders.sl.yml": ORDERS,
            "load/two/_config.sl.yml": config,
            "load/two/orders.sl.yml": ORDERS,
        }
    )
    assert found(problems, "duplicate-domain") == [("metadata/load/two/_config.sl.yml", 2, "load.name")]


def test_lines_are_those_of_the_file_as_written(load):
    text = (
        ORDERS.replace("version: 1\n", "version: 1\n{% if true %}{# one\ntwo\nthree #}\n{% endif %}\n") + "  renam: x\n"
    )
    _, problems = load({"load/shop/orders.sl.yml": text})
    assert found(problems, "unknown-key") == [("metadata/load/shop/orders.sl.yml", 14, "table.renam")]


def test_not_utf8(load, tmp_path):
    load({"load/shop/orders.sl.yml": ORDERS})
    path = tmp_path / "project/metadata/load/shop/orders.sl.yml"
    path.write_bytes(ORDERS.encode() + b"  comment: caf\xe9\n")
    project, problems = load_project(tmp_path / "project", environ={}, cache_dir=tmp_path / "cache")
    assert [(problem.code, problem.line) for problem in problems] == [("not-utf8", 10)]
    assert project.tables == ()


def test_a_broken_config_stops_its_domain(load):
    files = {
        "load/shop/_config.sl.yml": "version: 1\nload:\n  rename: gold\n  nam: x\n",
        "load/shop/orders.sl.yml": ORDERS,
        "load/store/orders.sl.yml": ORDERS,
        "transform/kpi/_config.sl.yml": "version: 1\ntransform: {default: {writ: x}}\n",
        "transform/kpi/one.sql": "select 1 as x",
        "transform/mart/one.sql": "select 1 as x",
    }
    project, problems = load(files)
    assert [table.raw for table in project.tables] == ["store.orders"]
    assert [task.raw for task in project.tasks] == ["mart.one"]
    assert [problem.key for problem in problems] == ["load.nam", "transform.default.writ"]
