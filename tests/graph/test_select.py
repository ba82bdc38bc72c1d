from __future__ import annotations

from types import SimpleNamespace

import pytest

from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.graph.select import select
from starlake_dagster_assets.project.model.project import Sink


@pytest.fixture(scope="module")
def graph(make: SimpleNamespace) -> Graph:
    project = make.project(
        make.table("raw_s", "orders", final_domain="s", final_name="Orders", tags=("pii", "team=a")),
        make.table("raw_s", "items", final_domain="s", tags=("team=b",)),
        make.task("k", "a", "select * from s.orders"),
        make.task("k", "b", "select * from k.a join s.items using (id)", table="bb", tags=("pii",)),
        make.task("m", "v", "select * from k.bb", sink=Sink(materialized_view="VIEW")),
        make.task("m", "z", "select * from m.v join x.y using (id)"),
        incoming="/in",
    )
    return build_graph(project)[0]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("s.orders", "s.Orders"),
        ("orders", "s.Orders"),
        ("raw_s.orders", "s.Orders"),
        ("k.b", "k.bb"),
        ("b", "k.bb"),
        ("k.*", "k.a k.bb"),
        ("?.A", "k.a"),
        ("domain:s", "s.Orders s.items"),
        ("domain:raw_*", "s.Orders s.items"),
        ("tag:pii", "k.bb s.Orders"),
        ("tag:team", "s.Orders s.items"),
        ("tag:team=b", "s.items"),
        ("kind:view", "m.v"),
        ("kind:task", "k.a k.bb m.v m.z"),
        ("kind:table,tag:pii", "s.Orders"),
        ("kind:table , tag:pii m.z", "m.z s.Orders"),
        ("kind:external", "x.y"),
        ("kind:files", "incoming.raw_s.items incoming.raw_s.orders"),
        ("tag:pii,kind:view", ""),
        ("orders+1", "k.a s.Orders"),
        ("orders+", "k.a k.bb m.v m.z s.Orders"),
        ("+k.a", "incoming.raw_s.orders k.a s.Orders"),
        ("1+m.v+1", "k.bb m.v m.z"),
        ("0+m.v+0", "m.v"),
        ("+m.z,kind:task", "k.a k.bb m.v m.z"),
        ("*", "k.a k.bb m.v m.z s.Orders s.items x.y"),
        ("incoming.raw_s.orders+1", "incoming.raw_s.orders s.Orders"),
    ],
)
def test_grammar(graph: Graph, expression: str, found: str) -> None:
    assert sorted(select(graph, expression)) == found.split()


def test_several_expressions_and_exclude(graph: Graph) -> None:
    assert select(graph, ["k.a", "m.v m.z"]) == {"k.a", "m.v", "m.z"}
    assert select(graph, "kind:task", exclude="tag:pii m.v+") == {"k.a"}
    assert select(graph, []) == frozenset()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("k.aa", "did you mean k.a?"),
        ("zzz.*", "names nothing"),
        ("raw_t.*", "did you mean raw_s.*?"),
        ("raw_t.zzz*", "`raw_t.zzz*` names nothing in this project$"),
        ("domain:raw_t", "did you mean domain:raw_s?"),
        ("tag:pij", "did you mean tag:pii?"),
        ("kind:vue", "known are table, task, view"),
        ("knd:view", "did you mean kind?"),
        ("foo:bar", "known are domain, tag and kind"),
        ("+", "not a selection"),
        ("k.a,", "not a selection"),
        (",", "not a selection"),
        (" ", "empty selection"),
        ("99999999999999+k.a", "names nothing"),
    ],
)
def test_errors_say_what_to_write(graph: Graph, expression: str, said: str) -> None:
    with pytest.raises(SelectionError, match=said.replace("?", r"\?").replace("*", r"\*")):
        select(graph, expression)
