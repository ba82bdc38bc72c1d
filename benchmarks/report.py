"""Results as a file, as lines, as the table of `docs/performance.md`, and as plots."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.rows import rows

__all__ = ["line", "missed", "publish", "save"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
IMAGES = PAGE.parent / "images"
PEERS = ("dagster-dbt", "dlt", "starlake-dagster")
"""Programs that a user would pick instead; the names of their rows begin with `compared with <peer>: `."""


def missed(entry: Mapping[str, Any]) -> bool:
    """Whether a figure is above its target."""
    return entry["ratio"] is not None and entry["target"] is not None and entry["ratio"] > entry["target"]


def line(entry: Mapping[str, Any]) -> str:
    """An entry as one line."""
    if entry["ratio"] is None:
        return f"{entry['name']}: not measured: {entry['not_measured']}"
    said = "" if entry["target"] is None else f" (at most {_ratio(entry['target'])})"
    return (
        f"{entry['name']}: {_amount(entry, 'ours')} beside {_amount(entry, 'beside')}: {_ratio(entry['ratio'])}{said}"
        f"{'  <- missed' if missed(entry) else ''}"
    )


def save(path: Path, entries: Iterable[Mapping[str, Any]], *, mode: str, run: str = "") -> None:
    """Writes the entries; those of the file that were not measured now are kept, in the order of the rows.

    Args:
        path: The results.
        entries: The entries of this run.
        mode: `quick` or `full`.
        run: Name of this run, such as its time.
    """
    kept = {entry["name"]: entry for entry in _read(path)}
    kept |= {entry["name"]: {**entry, "mode": mode, "machine": _machine(), "run": run} for entry in entries}
    kept |= {entry["name"]: entry for entry in _growth(kept)}
    order = [row.name for row in (*rows(quick=False), *rows(quick=True))]
    ranks = {name: _rank(name, order) for name in kept}
    found = sorted(kept.values(), key=lambda entry: ranks[entry["name"]])
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def publish(path: Path) -> None:
    """Writes the table and the plots of the full mode into the docs."""
    names = [row.name for row in rows(quick=False)]
    entries = [entry for entry in _read(path) if entry.get("grown") or _rank(entry["name"], names) < len(names)]
    text = PAGE.read_text(encoding="utf-8")
    of_peers = [entry for entry in entries if _peer(entry)]
    others = [entry for entry in entries if not _peer(entry)]
    text = _replaced(text, "peers", _peer_table(of_peers))
    PAGE.write_text(_replaced(text, "floors", _table(others)), encoding="utf-8")
    _plots(entries)


def _replaced(text: str, name: str, table: str) -> str:
    """Returns the page with another table between the marks of that name."""
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"


def _peer(entry: Mapping[str, Any]) -> str:
    """The program that an entry compares this package with; "" for a floor."""
    return next((peer for peer in PEERS if entry["name"].startswith(f"compared with {peer}: ")), "")


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _rank(name: str, order: Sequence[str]) -> int:
    return next((n for n, one in enumerate(order) if name == one or name.startswith(f"{one}: ")), len(order))


def _machine() -> str:
    versions = [f"{name} {metadata.version(name)}" for name in ("dagster", "duckdb", "sqlglot")]
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(versions)}"


# ------------------------------------------------------------------------------------------------------- growth


def _growth(entries: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How a cost grows with the size: per unit of the larger size compared with the smaller one."""
    found: list[dict[str, Any]] = []
    for title, quantity, target in (("without imports", "CPU", 1.15), ("memory", "memory", 1.0)):
        sides = {size: entries.get(f"code location, {size:,} tables: {title}") for size in (1_000, 10_000)}
        if all(sides.values()):
            small, large = (sides[size]["ours"]["min"] / size for size in (1_000, 10_000))  # type: ignore[index]
            said = f"{quantity} per table at 1,000 tables"
            name = f"code location: {quantity} per table, 10,000 tables"
            found.append(_grown(name, large, small, target, said, title))
    by_hand = [entries.get(f"code location, {size:,} tables: like with like") for size in (1_000, 10_000)]
    if all(by_hand):
        (small, small_by_hand), (large, large_by_hand) = (
            (one["ours"]["min"] / size, one["beside"]["min"] / size)  # type: ignore[index]
            for one, size in zip(by_hand, (1_000, 10_000), strict=True)
        )
        said = "CPU per table at 1,000 tables, scaled by the growth of the same definitions by hand"
        name = "code location: CPU per table, 10,000 tables, like with like"
        found.append(_grown(name, large, small * large_by_hand / small_by_hand, 1.15, said, "CPU"))
    for kind in ("CSV", "JSON", "Parquet"):
        name = "embedded load, {} M rows of " + kind + ": memory"
        one, twenty = entries.get(name.format(1)), entries.get(name.format(20))
        if one and twenty and one["ratio"] is not None and twenty["ratio"] is not None:
            large, small = twenty["ours"]["min"], one["ours"]["min"]
            grown = f"embedded load: memory, 20 M rows of {kind}"
            found.append(_grown(grown, large, small, 1.5, "memory at 1 M rows", "memory"))
    return found


def _grown(name: str, large: float, small: float, target: float, said: str, title: str) -> dict[str, Any]:
    quantity = "peak" if title == "memory" else "cpu"
    sides = {
        side: {"min": value, "median": value, "all": [value]} for side, value in (("ours", large), ("beside", small))
    }
    head = {"name": name, "ratio": round(large / small, 3), "target": target, "floor": said, "quantity": quantity}
    return {**head, "size": 0, **sides, "grown": True}


# -------------------------------------------------------------------------------------------------------- table


def _table(entries: Sequence[Mapping[str, Any]]) -> str:
    head = "| what | floor | this package | floor | ratio | target |\n|---|---|--:|--:|--:|--:|\n"
    body = "".join(f"{_line(entry)}\n" for entry in entries)
    machines = list(dict.fromkeys(entry["machine"] for entry in entries if "machine" in entry))
    return f"{head}{body}\nMeasured on: {'; '.join(machines)}. **Bold**: above the target."


def _peer_table(entries: Sequence[Mapping[str, Any]]) -> str:
    """The work, both sides, and how much of the peer's cost this package takes."""
    rows = [
        f"| {entry['name'].removeprefix(f'compared with {_peer(entry)}: ')} | {_peer(entry)} "
        f"| {_amount(entry, 'ours')} | {_amount(entry, 'beside')} | {_share(entry['ratio'])} |\n"
        for entry in entries
        if entry["ratio"] is not None
    ]
    head = "| work | compared with | this package | the other | ratio |\n|---|---|--:|--:|--:|\n"
    machines = "; ".join(dict.fromkeys(entry["machine"] for entry in entries))
    several = len({entry.get("run", "") for entry in entries}) > 1 or not all(entry.get("run") for entry in entries)
    runs = "several runs, so compare the programs within a row only" if several else "one run"
    return f"{head}{''.join(rows)}\nMeasured on: {machines}, in {runs}. **Bold**: this package needs more."


def _share(ratio: float) -> str:
    return _ratio(ratio) if ratio <= 1 else f"**{_ratio(ratio)}**"


def _line(entry: Mapping[str, Any]) -> str:
    name, floor = entry["name"], entry["floor"]
    target = "" if entry["target"] is None else _ratio(entry["target"])
    if entry["ratio"] is None:
        return f"| {name} | {floor} | not measured: {entry['not_measured']} | | | {target} |"
    ratio = f"**{_ratio(entry['ratio'])}**" if missed(entry) else _ratio(entry["ratio"])
    return f"| {name} | {floor} | {_amount(entry, 'ours')} | {_amount(entry, 'beside')} | {ratio} | {target} |"


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 0.3 else f"{value:.2f}"


def _amount(entry: Mapping[str, Any], side: str) -> str:
    value = entry[side]["min"]
    if entry["quantity"] == "count":
        return f"{value:g}"
    if entry["quantity"] == "peak":
        return f"{value / 2**20:,.0f} MB" if value > 2**20 else f"{value / 2**10:,.0f} kB"
    return f"{value:,.1f} s" if value >= 10 else f"{value:.2f} s" if value >= 1 else f"{value * 1000:,.1f} ms"


# -------------------------------------------------------------------------------------------------------- plots


def _plots(entries: Sequence[Mapping[str, Any]]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "starlake", "font.size": 10, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False, "font.family": "DejaVu Sans"})
    _growth_plot(entries)
    _ratio_plot([entry for entry in entries if entry["ratio"] is not None and entry["target"] is not None])


def _growth_plot(entries: Sequence[Mapping[str, Any]]) -> None:
    """Seconds and megabytes of a code location by its tables."""
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    ours, bare = ("ours", "this package", "#1f5fbf", "-"), ("beside", "by hand, bare", "#9a9a9a", ":")
    like = ("beside", "by hand, like with like", "#d9822b", "--")
    lines = (
        (places[0], "without imports", 1.0, ours),
        (places[0], "like with like", 1.0, like),
        (places[0], "without imports", 1.0, bare),
        (places[1], "memory", 2**20, ours),
        (places[1], "memory, like with like", 2**20, like),
        (places[1], "memory", 2**20, bare),
    )
    for place, title, unit, (side, label, colour, style) in lines:
        points = [
            (entry["size"], entry[side]["min"] / unit)
            for entry in entries
            if entry["name"].startswith("code location, ") and entry["name"].endswith(f": {title}") and side in entry
        ]
        if points:
            place.plot(*zip(*points, strict=True), style, marker="o", markersize=4, label=label, color=colour)
    for place, title in zip(
        places, ("CPU seconds of a code location, without imports", "Its memory at most, MB"), strict=True
    ):
        place.set_title(title, loc="left", fontsize=11)
        place.set_xlabel("tables")
        place.set_ylim(bottom=0)
        place.set_xlim(left=0)
        place.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        place.grid(axis="y", color="#e5e5e5")
        if place.lines:
            place.legend(frameon=False)
    _saved(figure, "performance-code-location.svg")


def _ratio_plot(entries: Sequence[Mapping[str, Any]]) -> None:
    """Each ratio by what was to be reached: 1 is the target."""
    import matplotlib.pyplot as plt

    figure, place = plt.subplots(figsize=(9, 0.6 + 0.26 * len(entries)), layout="constrained")
    values = [entry["ratio"] / entry["target"] for entry in entries]
    colours = ["#c0392b" if missed(entry) else "#1f5fbf" for entry in entries]
    names = [entry["name"] for entry in entries]
    bars = place.barh(names, values, color=colours, height=0.66)
    labels = [f"{_ratio(entry['ratio'])} of {_ratio(entry['target'])}" for entry in entries]
    place.axvline(1.0, color="#444444", linewidth=1)
    said = place.bar_label(bars, labels=labels, padding=4, fontsize=8)
    for text in said:
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})  # the line of the target ends before it
    place.invert_yaxis()
    place.set_xlim(0, max([1.4, *(value * 1.2 for value in values)]))
    place.set_xlabel("ratio measured / ratio to reach")
    place.tick_params(axis="y", labelsize=8)
    place.margins(y=0.01)
    _saved(figure, "performance-ratios.svg")


def _saved(figure: Any, name: str) -> None:
    import matplotlib.pyplot as plt

    IMAGES.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGES / name, metadata={"Date": None})
    plt.close(figure)
