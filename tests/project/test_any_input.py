from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.load import load_project
from tests.project.texts import APPLICATION

FULL = """\
version: 1
table:
  name: orders
  pattern: "orders-.*.csv"
  comment: c
  primaryKey: [id]
  metadata:
    format: DSV
    withHeader: true
    writeStrategy:
      type: OVERWRITE
      queryFilter: x
    sink:
      partition: [id]
  attributes:
    - name: id
      type: int
      required: true
"""
KEYS = ["primaryKey", "metadata", "format", "withHeader", "writeStrategy", "queryFilter", "partition", "required"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("shared")
    (root / "metadata/load/shop").mkdir(parents=True)
    (root / "metadata/transform/kpi").mkdir(parents=True)
    (root / "metadata/application.sl.yml").write_text(APPLICATION)
    return root


@given(key=st.sampled_from(KEYS), data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_typo_is_always_a_problem_with_its_line(shared, key, data):
    at = data.draw(st.integers(0, len(key) - 1))
    typo = data.draw(st.sampled_from([key[:at] + key[at + 1 :], key[:at] + "q" + key[at:], key.upper(), key + "s"]))
    path = shared / "metadata/load/shop/orders.sl.yml"
    path.write_text(FULL.replace(f"{key}:", f"{typo}:"))
    _, problems = load_project(shared, environ={}, cache_dir=shared / "cache")
    lines = [
        number
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.strip("- ").startswith(f"{typo}:")
    ]
    matching = [problem for problem in problems if problem.code == "unknown-key"]
    assert [(problem.line, problem.key.split(".")[-1]) for problem in matching] == [(lines[0], typo)]
    assert f"`{key}`" in matching[0].hint


@given(text=st.text(alphabet=st.sampled_from("abtv:1-[]{}%#&*!|>'\"$ \n\té\x00table"), max_size=60))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_text_never_raises(shared, text):
    for name in ("load/shop/orders.sl.yml", "transform/kpi/one.sl.yml", "transform/kpi/one.sql"):
        (shared / "metadata" / name).write_text(text, encoding="utf-8")
    try:
        _, problems = load_project(shared, environ={}, cache_dir=shared / "cache")
    finally:
        (shared / "metadata/transform/kpi/one.sl.yml").unlink()
        (shared / "metadata/transform/kpi/one.sql").unlink()
    assert all(problem.file for problem in problems)
    assert any(problem.file == "metadata/load/shop/orders.sl.yml" for problem in problems)


NAMES = st.sampled_from([*KEYS, "name", "type", "key", "tasks", "tables"]) | st.text(max_size=4)
KINDS = ["table", "load", "transform", "task", "types", "refs", "env", "application"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*KEYS, "name", "type", "key", "tasks", "tables"]) | st.text(max_size=4), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    value=VALUES,
    kind=st.sampled_from(KINDS),
    version=st.booleans(),
)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_values_never_raise(shared, value, kind, version):
    import yaml

    paths = {
        "table": "load/shop/t.sl.yml",
        "load": "load/shop/_config.sl.yml",
        "transform": "transform/kpi/_config.sl.yml",
        "task": "transform/kpi/t.sl.yml",
        "types": "types/types.sl.yml",
        "refs": "refs.sl.yml",
        "env": "env.sl.yml",
        "application": "application.sl.yml",
    }
    path = shared / "metadata" / paths[kind]
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**({"version": 1} if version else {}), kind: value}), encoding="utf-8")
    try:
        load_project(shared, environ={}, cache_dir=shared / "cache")
    finally:
        path.unlink()
        (shared / "metadata/application.sl.yml").write_text(APPLICATION)


def test_halves_of_characters_are_problems(load):
    half = '"\\ud800"'
    project, problems = load(
        {
            "env.sl.yml": f"version: 1\nenv:\n  x: {half}\n",
            "load/shop/orders.sl.yml": FULL.replace("comment: c", f"comment: {half}"),
            "transform/kpi/one.sql": "select '${SL_X}' as x",
        },
        environ={"SL_X": "\udcff", "SL_TENANT": "\udcff"},
    )
    assert (project.tables, project.tasks) == ((), ())
    assert [(problem.file, problem.line) for problem in problems] == [
        ("metadata/env.sl.yml", 3),
        ("metadata/load/shop/orders.sl.yml", 5),
        ("metadata/transform/kpi/one.sql", 1),
    ]
