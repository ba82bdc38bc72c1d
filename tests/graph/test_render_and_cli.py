from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from starlake_dagster_assets.cli.graph import register_graph
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.render import build_graph_view, to_json, to_mermaid, to_text
from starlake_dagster_assets.project.model.project import Sink

FILES = {
    "application.sl.yml": """
version: 1
application:
  connectionRef: duck
  connections:
    duck: {type: jdbc, options: {url: "jdbc:duckdb:/tmp/x.db", driver: org.duckdb.DuckDBDriver}}
""",
    "load/shop/_config.sl.yml": "version: 1\nload: {name: shop, metadata: {directory: /in}}\n",
    "load/shop/orders.sl.yml": """
version: 1
table:
  name: orders
  pattern: "orders.*"
  rename: Orders2
  metadata: {schedule: "0 * * * *"}
  attributes: [{name: id, type: int}]
""",
    "transform/kpi/revenue.sl.yml": "version: 1\ntask: {table: rev, tags: [daily], writeStrategy: {type: OVERWRITE}}\n",
    "transform/kpi/revenue.sql": 'select id from "shop"."orders2"',
    "transform/kpi/top.sql": "select id\nfrom kpi.rev",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def run(*args: Any) -> Any:
    app = typer.Typer()
    register_graph(app)
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_json_is_sorted_and_by_final_names(project: Path) -> None:
    result = run("graph", project, "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "nodes": [
            {"id": "kpi.rev", "kind": "task", "raw": "kpi.revenue", "key": ["kpi", "rev"]},
            {"id": "kpi.top", "kind": "task", "raw": "kpi.top", "key": ["kpi", "top"]},
            {"id": "shop.Orders2", "kind": "table", "raw": "shop.orders", "key": ["shop", "Orders2"]},
        ],
        "edges": [["kpi.rev", "kpi.top"], ["shop.Orders2", "kpi.rev"]],
    }


def test_files_parity_and_selection(project: Path) -> None:
    found = json.loads(run("graph", project, "-f", "json", "--files", "--parity").stdout)
    assert found["edges"] == [["incoming.shop.orders", "shop.Orders2"], ["kpi.rev", "kpi.top"]]
    assert found["nodes"][0]["raw"] == "incoming.shop.orders"
    found = json.loads(run("graph", project, "-f", "json", "--select", "kpi.*", "--exclude", "top").stdout)
    assert [node["id"] for node in found["nodes"]] == ["kpi.rev"]


def test_text_and_list(project: Path) -> None:
    text = "shop.Orders2 (table)\n└─ kpi.rev (task)\n   └─ kpi.top (task)\n"
    assert run("graph", project).stdout == text
    assert run("list", project, "-s", "tag:daily orders").stdout == (
        "kpi.rev       task   kpi.revenue  -          metadata/transform/kpi/revenue.sql\n"
        "shop.Orders2  table  shop.orders  0 * * * *  metadata/load/shop/orders.sl.yml\n"
    )
    rows = json.loads(run("list", project, "--json").stdout)
    assert rows[2] == {
        "id": "shop.Orders2",
        "kind": "table",
        "raw": "shop.orders",
        "cron": "0 * * * *",
        "file": "metadata/load/shop/orders.sl.yml",
    }


def test_a_graph_with_a_cycle_is_shown_and_fails(project: Path) -> None:
    (project / "metadata/transform/loop").mkdir()
    (project / "metadata/transform/loop/aa.sql").write_text("select * from loop.bb")
    (project / "metadata/transform/loop/bb.sql").write_text("select * from loop.aa")
    result = run("graph", project, "--format", "json")
    assert result.exit_code == 1
    assert ["loop.aa", "loop.bb"] in json.loads(result.stdout)["edges"]
    assert "cycle: loop.aa → loop.bb → loop.aa" in result.stderr
    assert run("graph", project, "--format", "json", "--partial").exit_code == 0
    result = run("list", project)
    assert (result.exit_code, result.stdout) == (1, "")


def test_errors_go_to_stderr_and_stop_unless_partial(project: Path) -> None:
    (project / "metadata/transform/kpi/other.sl.yml").write_text("version: 1\ntask: {tabel: rev}\n")
    (project / "metadata/transform/kpi/other.sql").write_text("select 1 as id")
    result = run("graph", project)
    assert result.exit_code == 1
    assert "other.sl.yml" in result.stderr
    assert result.stdout == ""
    result = run("graph", project, "--partial")
    assert result.exit_code == 0
    assert "kpi.rev (task)" in result.stdout


def test_mermaid_quotes_what_could_break_it(make: SimpleNamespace) -> None:
    graph, _ = build_graph(
        make.project(
            make.table("end", 'a"b`<c>#', ["id"]),
            make.task("k é", "graph", 'select * from "end"."a""b`<c>#"', sink=Sink(materialized_view="VIEW")),
        )
    )
    assert to_mermaid(build_graph_view(graph)) == "\n".join(
        [
            "flowchart LR",
            '  subgraph s0["end"]',
            '    n0[("a#quot;b#96;#lt;c#gt;#35;")]',
            "  end",
            '  subgraph s1["k é"]',
            '    n1[/"graph"/]',
            "  end",
            "  n0 --> n1",
        ]
    )


def test_cycles_and_empty_graphs_can_be_shown(make: SimpleNamespace) -> None:
    graph, _ = build_graph(
        make.project(make.task("k", "a", "select * from k.b"), make.task("k", "b", "select * from k.a"))
    )
    assert to_text(build_graph_view(graph)) == "k.a (task)\n└─ k.b (task)\n   └─ k.a (task) …"
    empty = build_graph_view(build_graph(make.project())[0])
    assert to_text(empty) == ""
    assert json.loads(to_json(empty)) == {"nodes": [], "edges": []}


def test_long_chains_go_on_at_the_margin(make: SimpleNamespace) -> None:
    tasks = [make.task("k", f"t{i:04}", f"select * from k.t{i - 1:04}" if i else "select 1") for i in range(1500)]
    graph, _ = build_graph(make.project(*tasks))
    lines = to_text(build_graph_view(graph)).splitlines()
    assert max(map(len, lines)) < 200
    # each once, and once more where the tree goes on
    assert len({line.lstrip("└─ ").removesuffix(" …") for line in lines}) == 1500
    assert len(lines) < 1500 + 1500 / 39 + 2
    at = next(index for index, line in enumerate(lines) if line.endswith(" …"))
    assert lines[at].endswith(lines[at + 1] + " …")
