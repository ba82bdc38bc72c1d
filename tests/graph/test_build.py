from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.graph.build import build_graph, declared_dependencies, find_starlake_edges
from starlake_dagster_assets.graph.cycles import find_cycles
from starlake_dagster_assets.project.model.project import RefInput, RefOutput, RefRule


def edges(graph: Any) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.edges}


def codes(problems: Any) -> list[str]:
    return sorted(problem.code for problem in problems)


def test_every_kind_of_node_and_final_names(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("raw_in", "cust", final_domain="gold", final_name="client"),
        make.task(
            "mart",
            "who",
            "select * from GOLD.Client join ext.known using (id), un.known2",
            table="people",
        ),
        make.task("mart", "next", "select * from mart.people"),
        make.external("ext", "known"),
        incoming="/in",
    )
    graph, problems = build_graph(project)
    assert [(n.id, n.kind, n.raw, n.key) for n in graph.nodes.values()] == [
        ("ext.known", "external", "", ("ext", "known")),
        ("gold.client", "table", "raw_in.cust", ("gold", "client")),
        ("incoming.raw_in.cust", "external", "", ("incoming", "raw_in", "cust")),
        ("mart.next", "task", "mart.next", ("mart", "next")),
        ("mart.people", "task", "mart.who", ("mart", "people")),
        ("un.known2", "external", "", ("un", "known2")),
    ]
    assert [(e.source, e.target, e.via) for e in graph.edges] == [
        ("ext.known", "mart.people", "sql"),
        ("gold.client", "mart.people", "sql"),
        ("incoming.raw_in.cust", "gold.client", "files"),
        ("mart.people", "mart.next", "sql"),
        ("un.known2", "mart.people", "sql"),
    ]
    assert graph.nodes["incoming.raw_in.cust"].is_files
    assert problems == ()


@pytest.mark.parametrize(
    ("sql", "source"),
    [
        ("select * from k.b", "k.b"),
        ("select * from K.B", "k.b"),
        ("select * from db.k.b", "k.b"),
        ("select * from k.stem_b", "k.b"),
        ("select * from b", "k.b"),
        ("select * from stem_b", "k.b"),
        ("select * from my_stream", "s.t"),
        ("select * from t", "s.t"),
        ("select * from nowhere", "m.nowhere"),
        ("select * from k.zz", "k.zz"),
        ("select * from k.swap", "k.swap"),
        ("select * from old.t", "s.t"),
    ],
)
def test_how_a_name_becomes_an_edge(make: SimpleNamespace, sql: str, source: str) -> None:
    rule = RefRule(input=RefInput(domain="o.d", table="(.*)"), output=RefOutput(domain="s", table="SL_THIS_TABLE"))
    project = make.project(
        make.table("s", "t", streams=("my_stream",)),
        make.task("k", "stem_b", "select 1", table="b"),
        # the final name of one is the raw name of the other: the final one wins
        make.task("k", "swap", "select 1", table="other"),
        make.task("k", "elsewhere", "select 1", table="swap"),
        make.task("m", "reader", sql),
        refs=(rule,),
    )
    graph, _ = build_graph(project)
    assert edges(graph) == {(source, "m.reader")}


def test_the_warehouse_catalog_and_ctes_are_no_assets(make: SimpleNamespace) -> None:
    sql = "with t as (select * from information_schema.tables) select * from t"
    graph, problems = build_graph(make.project(make.table("s", "t"), make.task("m", "reader", sql)))
    assert set(graph.nodes) == {"s.t", "m.reader"}
    assert not graph.edges
    # the engine takes the CTE for the table
    assert codes(problems) == ["lineage-differs"]
    assert "invents s.t" in problems[0].message


def test_a_load_table_is_read_by_its_final_name_only(make: SimpleNamespace) -> None:
    table = make.table("hr", "emp", final_domain="human", final_name="employees")
    graph, problems = build_graph(make.project(table, make.task("m", "reader", "select 1\nfrom hr.emp")))
    # the warehouse has no hr.emp
    assert edges(graph) == {("hr.emp", "m.reader")}
    assert graph.nodes["hr.emp"].kind == "external"
    assert [(p.code, p.severity, p.line) for p in problems] == [("raw-name", "warning", 2)]
    assert problems[0].hint == "Write `human.employees`."


def test_tables_of_the_project_come_before_described_ones(make: SimpleNamespace) -> None:
    objects = [make.table("s", "t"), make.external("x", "t"), make.external("y", "u"), make.external("z", "v")]
    objects += [make.external("w", "v"), make.external("m", "v")]
    graph, problems = build_graph(make.project(*objects, make.task("m", "reader", "select 1 from t, u, v")))
    assert edges(graph) == {("s.t", "m.reader"), ("y.u", "m.reader"), ("m.v", "m.reader")}
    assert not [p for p in problems if p.code == "ambiguous-name"]


def test_streams_with_and_without_their_schema(make: SimpleNamespace) -> None:
    table = make.table("s", "t", final_domain="g", streams=("g.g_t_one", "G_T_TWO"))
    graph, _ = build_graph(
        make.project(
            table,
            make.task("m", "a", "select * from g_t_one"),
            make.task("m", "b", "select * from g.G_T_ONE"),
            make.task("m", "c", "select * from g.g_t_two"),
        )
    )
    assert edges(graph) == {("g.t", "m.a"), ("g.t", "m.b"), ("g.t", "m.c")}


def test_rules_that_empty_a_name_and_odd_names_harm_nothing(make: SimpleNamespace) -> None:
    rule = RefRule(input=RefInput(table=".*"), output=RefOutput())
    task = make.task("m", "reader", "select 1").model_copy(update={"references": ("t", ".", "a..", "", "x.y.z.t")})
    graph, _ = build_graph(make.project(make.table("s", "t"), task, refs=(rule,)))
    assert edges(graph) == {("s.t", "m.reader"), ("z.t", "m.reader")}


def test_ambiguous_names_say_where_the_candidates_are(make: SimpleNamespace) -> None:
    objects = [make.table("s", "t"), make.table("r", "t"), make.task("m", "reader", "select 1\nfrom t")]
    graph, problems = build_graph(make.project(*objects))
    assert edges(graph) == {("m.t", "m.reader")}
    problem = next(p for p in problems if p.code == "ambiguous-name")
    assert (problem.file, problem.line, problem.severity) == ("metadata/transform/m/reader.sql", 2, "warning")
    assert "metadata/load/s/t.sl.yml" in problem.message
    assert "metadata/load/r/t.sl.yml" in problem.message
    own, problems = build_graph(make.project(*objects, make.task("m", "t", "select 1")))
    assert edges(own) == {("m.t", "m.reader")}
    assert own.nodes["m.t"].kind == "task"
    assert "ambiguous-name" in codes(problems)


def test_names_the_engine_fails_on(make: SimpleNamespace) -> None:
    project = make.project(
        make.task("a", "x", "select 1"),
        make.task("b", "x", "select 1"),
        make.task("b", "reader", "with x as (\nselect 1\n)\nselect * from x"),
        make.task("b", "deep", "select * from p.q.r.s"),
    )
    graph, problems = build_graph(project)
    assert edges(graph) == {("r.s", "b.deep")}
    assert [p.file for p in problems if p.code == "engine-fails"] == [
        "metadata/transform/b/deep.sql",
        "metadata/transform/b/reader.sql",
    ]


def test_declared_upstreams(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("s", "t", final_name="tt"),
        make.table("s", "u", tags=("dagster_deps=k.py",)),
        make.task("k", "py", python="x.py", tags=("dagster_deps=s.t;S.U|k.pi", "pii")),
        make.task("k", "raw", "select * from s.tt", parse_sql=False, tags=("dagster_deps=s.tt",)),
    )
    graph, problems = build_graph(project)
    found = {(e.source, e.target, e.via) for e in graph.edges}
    assert found == {
        *((source, target, "declared") for source, target in (("s.tt", "k.py"), ("s.u", "k.py"), ("k.py", "s.u"))),
        ("s.tt", "k.raw", "sql"),
        ("k.pi", "k.py", "declared"),
    }
    assert graph.nodes["k.pi"].kind == "external"
    unknown = next(p for p in problems if p.code == "unknown-upstream")
    assert "k.pi" in unknown.message
    assert unknown.hint == "Did you mean k.py?"
    assert unknown.severity == "warning"
    assert codes(problems) == ["cycle", "unknown-upstream"]
    assert list(declared_dependencies(("dagster_deps = a.a", "dagster_deps=a.b c.d,e.f", " dagster_deps=;"))) == [
        "a.a",
        "a.b",
        "c.d",
        "e.f",
    ]


def test_self_references_and_cycles_name_their_files(make: SimpleNamespace) -> None:
    project = make.project(
        make.task("k", "a", "select * from k.c"),
        make.task("k", "b", "select * from k.a join k.b using (id)"),
        make.task("k", "c", "select * from k.b"),
        make.task("k", "d", "select * from k.c join k.e using (id)"),
        make.task("k", "e", "select * from k.d"),
    )
    graph, problems = build_graph(project)
    assert graph.self_references == {"k.b"}
    assert ("k.b", "k.b") not in edges(graph)
    assert graph.cycles == (("k.a", "k.b", "k.c"), ("k.d", "k.e"))
    cycles = [p for p in problems if p.code == "cycle"]
    assert [p.severity for p in cycles] == ["error", "error"]
    assert "k.a → k.b → k.c → k.a" in cycles[0].message
    for stem in "abc":
        assert f"metadata/transform/k/{stem}.sql" in cycles[0].message
    own = next(p for p in problems if p.code == "self-reference")
    assert own.file == "metadata/transform/k/b.sql"


def test_collisions_keep_the_first_and_name_both(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("s", "t"),
        make.table("S2", "t", final_domain="S"),
        make.task("k", "a", "select * from s.t", table="x"),
        make.task("k", "b", "select 1", table="x"),
        make.task("s", "t", "select 1"),
        make.external("k", "X"),
    )
    graph, problems = build_graph(project)
    assert {n.id: n.raw for n in graph.nodes.values()} == {
        "s.t": "s.t",
        "s.t__task": "s.t",
        "k.a": "k.a",
        "k.b": "k.b",
    }
    assert edges(graph) == {("s.t", "k.a"), ("s.t__task", "k.a")}
    found = [(p.code, p.severity, p.file) for p in problems if p.code == "collision"]
    assert found == [
        ("collision", "warning", "metadata/external/k/X.sl.yml"),
        ("collision", "error", "metadata/load/S2/t.sl.yml"),
    ]


def test_each_writer_of_a_table_is_a_node_and_a_reader_waits_for_all(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("s", "t"),
        make.task("k", "eu", "select * from s.t", table="sales"),
        make.task("k", "us", "select * from s.t where id > (select max(id) from k.sales)", table="Sales"),
        make.task("k", "again", "select * from k.sales where id > 3", table="sales"),
        make.task("k", "sum", "select count(*) as n from k.sales"),
        make.task("k", "one", "select 1 as n", tags=("dagster_deps=k.us",)),
        make.task("s", "more", "select 1 as id", table="t"),
    )
    graph, problems = build_graph(project)
    assert not [p for p in problems if p.severity == "error"]
    assert graph.writers["k.us"] == ("k.eu", "k.us", "k.again") and graph.nodes["k.us"].target == ("k", "Sales")
    assert graph.self_references == {"k.us", "k.again"}
    assert graph.upstream["k.sum"] == ("k.again", "k.eu", "k.us")
    # two that read the table do not wait for each other
    assert graph.upstream["k.us"] == ("k.eu", "s.more", "s.t")
    assert graph.upstream["k.again"] == ("k.eu",)
    assert graph.upstream["k.one"] == ("k.us",)


def test_a_writer_that_replaces_the_table_of_others_is_a_warning(make: SimpleNamespace) -> None:
    replaces = make.task("k", "b", "select 1 as n", table="x", write_strategy={"type": "OVERWRITE"})
    _, problems = build_graph(make.project(make.task("k", "a", "select 1 as n", table="x"), replaces))
    (problem,) = (p for p in problems if p.code == "several-writers")
    assert (problem.severity, problem.file) == ("warning", "metadata/transform/k/b.sql")
    assert "k.b replaces k.x (OVERWRITE), which k.a also write" in problem.message


def test_two_tasks_with_one_name_for_the_command_line(make: SimpleNamespace) -> None:
    first, second = make.task("k", "a", "select 1"), make.task("other", "a", "select 1", domain="k", table="b")
    _, problems = build_graph(make.project(first, second))
    assert codes(problems) == ["collision"]
    assert "have the same name: k.a" in problems[0].message


def test_where_the_engine_sees_other_edges(make: SimpleNamespace) -> None:
    project = make.project(
        make.table("s", "a"),
        make.table("s", "b"),
        make.task("k", "one", "select 1 from s.a\nunion all select 2 from s.b"),
        make.task("k", "two", 'select 1\nfrom "s"."a"'),
        make.task("k", "off", 'select 1 from "s"."a"', parse_sql=False),
        make.task("k", "same", "select 1 from un.known join s.a using (x)"),
    )
    graph, problems = build_graph(project)
    found = [(p.file.rsplit("/", 1)[1], p.line, p.code) for p in problems]
    assert found == [("one.sql", 2, "lineage-differs"), ("two.sql", 2, "lineage-differs")]
    assert ("s.a", "k.off") in edges(graph)
    assert [(e.source, e.target) for e in find_starlake_edges(graph)] == [("s.a", "k.one"), ("s.a", "k.same")]


def test_a_large_project_is_cheap_and_deep_chains_do_not_recurse(make: SimpleNamespace) -> None:
    one = make.task("k", "t0", "select 1")
    sql = {"sql": "select 1"}
    chain = [
        one.model_copy(update={"stem": f"t{i}", "table": f"t{i}", "references": (f"k.t{(i + 1) % 3000}",), **sql})
        for i in range(3000)
    ]
    graph, problems = build_graph(make.project(*chain))
    assert len(graph.edges) == 3000
    assert [len(cycle) for cycle in graph.cycles] == [3000]
    assert "cycle" in codes(problems)


@given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=3, unique=True), max_size=8))
@settings(deadline=None, max_examples=100)
def test_cycles_are_true_and_cover_what_is_on_one(raw: dict[int, list[int]]) -> None:
    successors = {f"n{i}": [f"n{j}" for j in raw.get(i, [])] for i in range(8)}
    cycles = find_cycles(successors)
    assert len(set(cycles)) == len(cycles)
    covered: set[str] = set()
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        assert len(set(cycle)) == len(cycle)
        assert all(b in successors[a] for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        covered |= set(cycle)

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(successors[start])
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += successors[node]
        return seen

    assert covered == {node for node in successors if node in reaches(node)}


PARTS = st.text("abcXYZ$é -.ß1", min_size=1, max_size=5).filter(lambda name: name.strip(" ") == name)


@given(
    st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=4, unique_by=lambda p: (p[0].lower(), p[1].lower())), PARTS
)
@settings(deadline=None, max_examples=50)
def test_any_table_name_is_linked_when_quoted(make: SimpleNamespace, pairs: list[tuple[str, str]], stem: str) -> None:
    tables = [make.table(f"dir{i}", f"file{i}", final_domain=d, final_name=t) for i, (d, t) in enumerate(pairs)]
    sql = "select 1 from " + " cross join ".join(f'"{d}"."{t}" x{i}' for i, (d, t) in enumerate(pairs))
    graph, _ = build_graph(make.project(*tables, make.task("zz", "reader " + stem, sql)))
    found = {graph.nodes[edge.source].key for edge in graph.edges}
    assert len(graph.edges) == len({n.id for n in graph.nodes.values() if n.kind == "table"})
    assert found == {n.key for n in graph.nodes.values() if n.kind == "table"}
