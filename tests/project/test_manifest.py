from __future__ import annotations

import copy
import json
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.files import parsing
from starlake_dagster_assets.project.files.key_validation import ParsedFile
from starlake_dagster_assets.project.load import load_project

APPLICATION = """\
version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/d.db", password: "{{db_login}}"}
"""
ORDERS = """\
version: 1
table:
  name: orders
  pattern: "orders-.*.csv"
  comment: "${who}"
  attributes: [{name: id, type: int}, {name: tags, array: true}, {name: s, type: struct, attributes: [{name: x}]}]
  expectations: [{expect: "ok()"}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "application.sl.yml": APPLICATION,
        "env.sl.yml": "version: 1\nenv: {who: me, db_login: hunter22, day: '${sl_date}'}\n",
        "load/shop/_config.sl.yml": "version: 1\nload: {metadata: {directory: '{{SL_ROOT}}/in'}}\n",
        "load/shop/orders.sl.yml": ORDERS,
        "load/shop/bad.sl.yml": "version: 1\ntable: {nam: x}\n",
        "transform/kpi/one.sql": "select id, '{{who}}' as w from shop.orders",
        "transform/kpi/two.sql": "select '{{sl_date}}' as d",
        "expectations/e.j2": "{% macro ok() %}select 0{% endmacro %}",
        "dags/d.sl.yml": "version: 1\ndag: {template: a__b.py.j2, filename: '{{domain}}.py'}\n",
        "external/e/x.sl.yml": "version: 1\ntable: {name: x}\n",
    }
    for path, text in files.items():
        target = tmp_path / "p/metadata" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path / "p"


def load(root: Path, cache: Path, **arguments):
    project, problems = load_project(root, **{"environ": {}, "cache_dir": cache, **arguments})
    return project.model_dump(exclude={"variables"}), problems


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were parsed, settings left out."""
    seen: list[str] = []
    original = parsing.FileParser.parse

    def parse(self, file):
        if file.kind not in {"application", "env"}:
            seen.append(file.path)
        return original(self, file)

    monkeypatch.setattr(parsing.FileParser, "parse", parse)
    return seen


def test_a_second_load_parses_nothing_and_says_the_same(root: Path, tmp_path: Path, parsed: list[str]):
    cold = load(root, tmp_path / "c")
    assert len(parsed) == 8
    parsed.clear()
    assert load(root, tmp_path / "c") == cold
    assert parsed == []


def test_one_edit_parses_one_file(root: Path, tmp_path: Path, parsed: list[str]):
    load(root, tmp_path / "c")
    parsed.clear()
    path = root / "metadata/load/shop/orders.sl.yml"
    path.write_text(path.read_text().replace("orders-", "order_"))
    warm = load(root, tmp_path / "c")
    assert parsed == ["metadata/load/shop/orders.sl.yml"]
    assert warm == load(root, tmp_path / "other")


def test_a_same_sized_edit_with_an_old_time_is_seen(root: Path, tmp_path: Path):
    import os

    path = root / "metadata/load/shop/orders.sl.yml"
    before = path.stat()
    load(root, tmp_path / "c")
    path.write_text(path.read_text().replace("name: id", "name: ix"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    project, _ = load(root, tmp_path / "c")
    assert project["domains"][0]["tables"][0]["attributes"][0]["name"] == "ix"


def test_a_variable_parses_the_files_that_read_it(root: Path, tmp_path: Path, parsed: list[str]):
    load(root, tmp_path / "c")
    parsed.clear()
    project, _ = load(root, tmp_path / "c", options={"who": "you", "unused": "1"})
    assert parsed == ["metadata/load/shop/orders.sl.yml", "metadata/transform/kpi/one.sql"]
    assert project["domains"][0]["tables"][0]["comment"] == "you"
    parsed.clear()
    load(root, tmp_path / "c", options={"who": "you", "unused": "2"})
    assert parsed == []


def test_a_new_file_and_a_removed_one_are_seen(root: Path, tmp_path: Path):
    load(root, tmp_path / "c")
    (root / "metadata/transform/kpi/three.sql").write_text("select 1 as x")
    (root / "metadata/transform/kpi/one.sql").unlink()
    assert load(root, tmp_path / "c") == load(root, tmp_path / "other")


def test_settings_of_the_environment_are_seen(root: Path, tmp_path: Path):
    load(root, tmp_path / "c")
    project, _ = load(root, tmp_path / "c", environ={"SL_LOADER": "native"})
    assert project["domains"][0]["tables"][0]["metadata"]["loader"] == "native"


def test_nothing_secret_is_kept(root: Path, tmp_path: Path):
    (root / "metadata/transform/kpi/three.sql").write_text("select '{{db_login}}' as x")
    (root / "metadata/transform/kpi/four.sql").write_text("select '{{my_token}}' as x")
    (root / "metadata/transform/kpi/five.sql").write_text("select from from '${db_login}'")
    options = {"my_token": "abc123xyz"}
    for _ in range(2):
        cold = load(root, tmp_path / "c", options=options)
    assert "abc123xyz" in str(cold)
    files = list((tmp_path / "c").iterdir())
    assert files
    for file in files:
        text = file.read_text()
        assert "hunter22" not in text
        assert "abc123xyz" not in text
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_cache_is_as_none(root: Path, tmp_path: Path):
    cold = load(root, tmp_path / "c")
    for damage in (b"", b"{", b"\xff\xfe", b"[]\n{}", b"null\nnull"):
        for file in (tmp_path / "c").iterdir():
            file.write_bytes(damage)
        assert load(root, tmp_path / "c") == cold
    for file in (tmp_path / "c").iterdir():
        file.write_bytes(file.read_bytes().replace(b"orders", b"0rders"))
    assert load(root, tmp_path / "c") == cold


@given(at=st.floats(0, 1), junk=st.binary(max_size=3))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_noticed(root: Path, tmp_path: Path, at: float, junk: bytes):
    cold = load(root, tmp_path / "c")
    for file in (tmp_path / "c").iterdir():
        content = file.read_bytes()
        cut = int(at * len(content))
        file.write_bytes(content[:cut] + junk)
    assert load(root, tmp_path / "c") == cold


def test_a_cache_that_cannot_be_written_is_as_none(root: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert load(root, tmp_path / "file") == load(root, tmp_path / "c")
    assert load(root, tmp_path / "file/deeper") == load(root, tmp_path / "c")


def test_entries_of_another_version_are_not_read(root: Path, tmp_path: Path, parsed: list[str]):
    load(root, tmp_path / "c")
    for file in (tmp_path / "c").iterdir():
        head, _, body = file.read_bytes().partition(b"\n")
        file.write_bytes(json.dumps({**json.loads(head), "stamp": "old"}).encode() + b"\n" + body)
    parsed.clear()
    load(root, tmp_path / "c")
    assert len(parsed) == 8


def test_many_at_once(root: Path, tmp_path: Path):
    expected = load(root, tmp_path / "other")
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(load(root, tmp_path / "c"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 6
    assert not [file for file in (tmp_path / "c").iterdir() if file.name.startswith(".")]


def test_what_all_objects_have_in_common_is_kept_in_memory_once(root: Path, tmp_path: Path):
    for name in ("one", "two"):
        (root / f"metadata/transform/kpi/{name}.sl.yml").write_text("version: 1\ntask: {attributes: [{name: id}]}\n")
        (root / f"metadata/load/shop/{name}.sl.yml").write_text(
            f"version: 1\ntable: {{name: {name}, pattern: {name}, attributes: [{{name: id}}]}}\n"
        )
    cold, _ = load_project(root, cache_dir=tmp_path / "cache")
    warm, _ = load_project(root, cache_dir=tmp_path / "cache")
    assert (warm.domains, warm.transforms) == (cold.domains, cold.transforms)
    one, two = warm.tasks
    assert one.sink is two.sink
    first, second, *_ = warm.tables
    assert first.metadata.sink is second.metadata.sink
    assert not hasattr(first.attributes[0], "__dict__")


def test_what_a_file_says_is_kept_without_a_copy_and_nothing_changes_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said: list[tuple[object, object]] = []
    to_json = ParsedFile.to_json

    def noted(parsed: ParsedFile) -> dict[str, object]:
        found = to_json(parsed)
        assert found["data"] is parsed.data
        said.append((found, copy.deepcopy(found)))
        return found

    monkeypatch.setattr(ParsedFile, "to_json", noted)
    load_project(root, cache_dir=tmp_path / "cache")
    assert len(said) > 5
    assert all(now == then for now, then in said)
