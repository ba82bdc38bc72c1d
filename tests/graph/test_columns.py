from __future__ import annotations

from types import SimpleNamespace

from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.columns import ColumnLineage
from starlake_dagster_assets.project.model.project import Attribute, Metadata, Project, WriteStrategy


def read(project: Project) -> ColumnLineage:
    return ColumnLineage(build_graph(project)[0], project)


def test_columns_of_load_tables_and_externals(make: SimpleNamespace) -> None:
    columns = [
        Attribute(name="a", type="int", rename="b"),
        Attribute(name="secret", ignore=True),
        Attribute(name="c", type="date", script="current_date"),
    ]
    strategy = WriteStrategy(type="SCD2", start_ts="since")
    lineage = read(
        make.project(
            make.table("s", "t", columns, metadata=Metadata(write_strategy=strategy)),
            make.external("x", "y", ["Z"]),
            incoming="/in",
        )
    )
    assert lineage.columns("s.t") == (("b", "int"), ("c", "date"), ("since", "timestamp"), ("sl_end_ts", "timestamp"))
    assert lineage.columns("x.y") == (("Z", "string"),)
    assert lineage.columns("incoming.s.t") == ()
    assert lineage.columns("no.such") == ()
    assert lineage.lineage("s.t") == {}


def test_lineage_goes_through_tasks_by_their_own_columns(make: SimpleNamespace) -> None:
    lineage = read(
        make.project(
            make.table("raw_s", "t", ["Id", "v"], final_domain="s"),
            make.task("k", "first", "select *, v + 1 as w from T", table="one"),
            make.task("k", "second", "with x as (select * from k.ONE) select *, other from x join un.known on true"),
            make.task("k", "told", "select * from py", attributes=(Attribute(name="ID", type="long"),)),
            make.task("k", "py", python="x.py", attributes=(Attribute(name="id"), Attribute(name="n", type="int"))),
        )
    )
    assert lineage.lineage("k.one") == {"Id": (("s.t", "Id"),), "v": (("s.t", "v"),), "w": (("s.t", "v"),)}
    assert lineage.columns("k.one") == (("Id", "string"), ("v", "string"), ("w", None))
    assert lineage.lineage("k.second")["w"] == (("k.one", "w"),)
    assert lineage.lineage("k.second")["other"] == (("un.known", "other"),)
    assert lineage.columns("k.told") == (("ID", "long"), ("n", "int"))
    assert lineage.lineage("k.told")["n"] == (("k.py", "n"),)
    assert lineage.lineage("k.py") == {}


def test_cycles_self_references_and_broken_sql_end(make: SimpleNamespace) -> None:
    lineage = read(
        make.project(
            make.task("k", "a", "select *, 1 as one from k.b"),
            make.task("k", "b", "select * from k.a"),
            make.task("k", "me", "select id from k.me", attributes=(Attribute(name="id"),)),
            make.task("k", "bad", "select ((("),
        )
    )
    assert ("one", None) in lineage.columns("k.a")
    assert lineage.lineage("k.b") in ({}, {"one": (("k.a", "one"),)})
    assert lineage.lineage("k.me") == {"id": (("k.me", "id"),)}
    assert lineage.lineage("k.bad") == {}


def test_a_deep_chain_is_read_without_recursion(make: SimpleNamespace) -> None:
    tasks = [make.task("k", f"t{i:03}", f"select * from k.t{i - 1:03}" if i else "select 1 as n") for i in range(400)]
    lineage = read(make.project(*tasks))
    assert lineage.lineage("k.t399") == {"n": (("k.t398", "n"),)}
