from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.graph.acyclic_groups import StepGroup, group_into_steps, sort_topologically, split_names
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.model import Edge, Graph, Node


def has_cycle(successors: dict[str, set[str]]) -> bool:
    waiting = dict.fromkeys(successors, 0)
    for targets in successors.values():
        for target in targets:
            waiting[target] += 1
    ready = [node for node, count in waiting.items() if not count]
    placed = 0
    while ready:
        placed += 1
        for target in successors[ready.pop()]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return placed < len(successors)


def check(graph: Graph, groups: tuple[StepGroup, ...], selection: set[str]) -> None:
    placed = [name for group in groups for name in group.node_ids]
    assert sorted(placed) == sorted(n for n in selection if graph.nodes[n].kind != "external")
    assert len({(group.kind, group.name) for group in groups}) == len(groups)
    # nodes that are not selected stand alone: a path through them is a dependency
    owner = {name: f"node {name}" for name in graph.nodes}
    owner.update({name: f"{group.kind} {group.name}" for group in groups for name in group.node_ids})
    quotient: dict[str, set[str]] = {name: set() for name in owner.values()}
    position = {name: index for index, name in enumerate(placed)}
    for edge in graph.edges:
        if owner[edge.source] != owner[edge.target]:
            quotient[owner[edge.source]].add(owner[edge.target])
        if edge.source in position and edge.target in position:
            assert position[edge.source] < position[edge.target]
    assert not has_cycle(quotient)


@st.composite
def dags(draw: st.DrawFn) -> tuple[list[tuple[str, int]], list[tuple[int, int]]]:
    size = draw(st.integers(1, 14))
    nodes = [(draw(st.sampled_from(["load", "task", "task"])), draw(st.integers(0, 3))) for _ in range(size)]
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(lambda p: (min(p), max(p)))
    return nodes, [pair for pair in draw(st.lists(pairs, max_size=25)) if pair[0] != pair[1]]


@given(dags(), st.sets(st.integers(0, 13)), st.sampled_from([None, 1, 2]))
@settings(deadline=None, max_examples=100)
def test_groups_never_wait_for_each_other(
    make: SimpleNamespace,
    dag: tuple[list[tuple[str, int]], list[tuple[int, int]]],
    chosen: set[int],
    max_size: int | None,
) -> None:
    table, task = make.table("d0", "t"), make.task("k0", "t", "select 1")
    nodes: dict[str, Node] = {}
    names: list[str] = []
    # indexes in names: the order of ids is not the topological one
    for index, (kind, domain) in enumerate(dag[0]):
        name = f"n{(index * 7) % 15}_{index}"
        if kind == "load":
            made = table.model_copy(update={"domain": f"d{domain}", "final_domain": f"d{domain}", "final_name": name})
            node = Node(id=made.id, kind="table", raw=made.id, key=(f"d{domain}", name), table=made)
        else:
            made = task.model_copy(update={"domain": f"k{domain}", "table": name})
            node = Node(id=made.id, kind="task", raw=made.id, key=(f"k{domain}", name), task=made)
        nodes[node.id] = node
        names.append(node.id)
    found = sorted({Edge(names[a], names[b]) for a, b in dag[1]})
    graph = Graph(nodes=MappingProxyType(dict(sorted(nodes.items()))), edges=tuple(found))
    everything = group_into_steps(graph, max_size=max_size)
    check(graph, everything, set(names))
    assert everything == group_into_steps(graph, max_size=max_size)
    assert all(len(g.node_ids) <= max_size for g in everything if max_size and g.kind == "transform")
    selection = {names[i] for i in chosen if i < len(names)}
    check(graph, group_into_steps(graph, selection, max_size=max_size), selection)


def test_a_domain_is_one_group_where_it_can_be(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("s", "t"),
        make.table("s", "u"),
        make.task("k", "a", "select * from s.t"),
        make.task("m", "b", "select * from k.a"),
        make.task("k", "c", "select * from m.b"),
        make.task("k", "d", "select * from k.a"),
        make.task("k_2", "e", "select * from s.u"),
    )
    graph, _ = build_graph(project)
    groups = {group.name: group for group in group_into_steps(graph)}
    assert groups["s"] == StepGroup("s", "load", "s", ("s.t", "s.u"))
    assert groups["k"].node_ids == ("k.a", "k.d")
    assert groups["k_3"] == StepGroup("k_3", "transform", "k", ("k.c",))
    assert groups["k_2"].node_ids == ("k_2.e",)
    assert [group.name for group in group_into_steps(graph, {"k.a", "k.c"})] == ["k", "k_3"]
    assert [group.node_ids for group in group_into_steps(graph, {"k.a", "k.d", "x.y"})] == [("k.a", "k.d")]


def test_cycles_have_no_plan(make: SimpleNamespace) -> None:
    project = make.project(
        make.task("k", "a", "select * from k.b"),
        make.task("k", "b", "select * from k.a"),
        make.task("k", "c", "select * from k.b"),
        make.task("k", "d", "select 1"),
    )
    graph, _ = build_graph(project)
    with pytest.raises(SelectionError, match=r"k\.c: cycle k\.a → k\.b → k\.a"):
        group_into_steps(graph, {"k.c"})
    assert group_into_steps(graph, {"k.d"}) == (StepGroup("k", "transform", "k", ("k.d",)),)
    assert sort_topologically(graph, ()) == ["k.d"]


@given(st.lists(st.text("aé.", min_size=1, max_size=6)), st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_chunks_fit_and_lose_nothing(names: list[str], limit: int) -> None:
    chunks = list(split_names(names, limit))
    assert [name for chunk in chunks for name in chunk] == names
    for chunk in chunks:
        assert len(",".join(chunk).encode()) <= limit or len(chunk) == 1
    for before, after in pairwise(chunks):
        assert len(",".join([*before, after[0]]).encode()) > limit
