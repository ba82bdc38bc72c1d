"""The graph as one HTML page: an SVG with sources on the left and targets on the right; no network, no library."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template

from starlake_dagster_assets.graph.render import GraphView
from starlake_dagster_assets.plural import counted

__all__ = ["to_html"]

_ROW, _WIDEST, _LETTER, _GAP, _MARGIN = 34, 44, 7.2, 90, 24
_SWEEPS = 4
"""Number of passes that improve the order in columns: enough for hundreds of nodes, fast for thousands."""
_COLORS = {
    "table": ("#e8f0fe", "#3b6fd4"),
    "task": ("#fdf3dc", "#c98a1b"),
    "view": ("#f3e8fd", "#8a4fc9"),
    "files": ("#eef2ee", "#7a8a7a"),
    "external": ("#eeeeee", "#8a8a8a"),
}
_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Starlake graph</title><style>
body{margin:0;font:13px system-ui,sans-serif;color:#222}header{padding:10px 24px;border-bottom:1px solid #ddd}
header span{display:inline-block;margin-right:14px}i{display:inline-block;width:10px;height:10px;margin-right:5px;
border:1px solid}input{margin-left:12px;padding:3px 8px}main{overflow:auto}text{font:12px ui-monospace,monospace}
path{fill:none;stroke:#aab;stroke-width:1.3}g.node{cursor:pointer}svg.chosen .node{opacity:.15}
svg.chosen path{opacity:.06}svg.chosen .on{opacity:1!important}svg.chosen path.on{stroke:#d4483b;stroke-width:2}
</style></head><body><header><b>$count</b> &nbsp; $legend <input placeholder="find" id="find">
click a node: what it reads and what reads it</header><main>
<svg width="$width" height="$height" xmlns="http://www.w3.org/2000/svg">$edges$nodes</svg></main><script>
const svg=document.querySelector('svg'),all=s=>[...svg.querySelectorAll(s)],edges=all('path'),nodes=all('.node');
function walk(id,from,to,seen){for(const e of edges)if(e.dataset[from]===id){e.classList.add('on');
const next=e.dataset[to];if(!seen.has(next)){seen.add(next);walk(next,from,to,seen)}}return seen}
function clear(){svg.classList.remove('chosen');svg.querySelectorAll('.on').forEach(e=>e.classList.remove('on'))}
nodes.forEach(n=>n.addEventListener('click',e=>{e.stopPropagation();clear();const id=n.dataset.id;
const near=new Set([id,...walk(id,'to','from',new Set()),...walk(id,'from','to',new Set())]);
nodes.forEach(m=>near.has(m.dataset.id)&&m.classList.add('on'));svg.classList.add('chosen')}));
document.addEventListener('click',e=>e.target.id==='find'||clear());
document.getElementById('find').addEventListener('input',e=>{clear();const t=e.target.value.toLowerCase();if(!t)return;
svg.classList.add('chosen');nodes.forEach(n=>n.dataset.name.toLowerCase().includes(t)&&n.classList.add('on'))});
</script></body></html>""")


def to_html(shown: GraphView) -> str:
    """Returns a self-contained HTML page: columns from left to right, a click highlights the upstreams of a node."""
    kinds = {node.id: "files" if node.is_files else "view" if node.is_view else node.kind for node in shown.nodes}
    columns = _ordered(_columns(shown), shown)
    widths = [min(_WIDEST, max(len(name) for name in column)) * _LETTER + 24 for column in columns]
    places: dict[str, tuple[float, float, float]] = {}
    left: float = _MARGIN
    for column, width in zip(columns, widths, strict=True):
        for row, name in enumerate(column):
            places[name] = (left, _MARGIN + row * _ROW, width)
        left += width + _GAP
    number = {name: str(position) for position, name in enumerate(places)}
    edges = "".join(_edge(places[a], places[b], number[a], number[b]) for a, b in shown.edges)
    nodes = "".join(_node(name, number[name], kinds[name], places[name]) for name in places)
    used = [kind for kind in _COLORS if kind in kinds.values()]
    legend = " ".join(
        f'<span><i style="background:{_COLORS[kind][0]};border-color:{_COLORS[kind][1]}"></i>{kind}</span>'
        for kind in used
    )
    tallest = max((len(column) for column in columns), default=0)
    return _PAGE.substitute(
        count=f"{counted(len(shown.nodes), 'node')}, {counted(len(shown.edges), 'edge')}",
        legend=legend,
        width=round(left),
        height=_MARGIN * 2 + tallest * _ROW,
        edges=edges,
        nodes=nodes,
    )


def _columns(shown: GraphView) -> list[list[str]]:
    """Returns the node ids per column: each node after its last upstream; a cycle starts at its first node."""
    reads: dict[str, set[str]] = {node.id: set() for node in shown.nodes}
    for source, target in shown.edges:
        reads[target].add(source)
    column: dict[str, int] = {}
    left = dict(reads)
    while left:
        ready = [name for name, sources in left.items() if sources.isdisjoint(left.keys() - {name})]
        for name in ready or [next(iter(left))]:
            column[name] = max((column[source] + 1 for source in reads[name] if source in column), default=0)
        left = {name: sources for name, sources in left.items() if name not in column}
    found: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
    for name, place in column.items():
        found[place].append(name)
    return [list(names) for names in found]


def _ordered(columns: list[list[str]], shown: GraphView) -> list[list[str]]:
    """Returns the columns, each sorted by the middle position of a node's neighbours, so that few edges cross."""
    near: dict[str, list[str]] = {node.id: [] for node in shown.nodes}
    for source, target in shown.edges:
        near[source].append(target)
        near[target].append(source)
    row: dict[str, float] = {name: position for names in columns for position, name in enumerate(names)}
    for sweep in range(_SWEEPS):
        for names in columns if sweep % 2 == 0 else reversed(columns):
            names.sort(key=lambda name: _middle(name, near, row))
            row.update({name: position for position, name in enumerate(names)})
    return columns


def _middle(name: str, near: Mapping[str, list[str]], row: Mapping[str, float]) -> float:
    return sum(row[one] for one in near[name]) / len(near[name]) if near[name] else row[name]


def _node(name: str, number: str, kind: str, place: tuple[float, float, float]) -> str:
    left, top, width = place
    fill, line = _COLORS[kind]
    short = name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"
    return (
        f'<g class="node" data-id="{number}" data-name="{escape(name)}"><title>{escape(name)} ({kind})</title>'
        f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="24" rx="4" fill="{fill}" stroke="{line}"/>'
        f'<text x="{left + 12:.0f}" y="{top + 16}">{escape(short)}</text></g>'
    )


def _edge(source: tuple[float, float, float], target: tuple[float, float, float], first: str, second: str) -> str:
    left, top, width = source
    start, end, bend = left + width, target[0], max(40.0, (target[0] - left - width) / 2)
    return (
        f'<path data-from="{first}" data-to="{second}" d="M{start:.0f},{top + 12} C{start + bend:.0f},{top + 12} '
        f'{end - bend:.0f},{target[1] + 12} {end:.0f},{target[1] + 12}"/>'
    )
