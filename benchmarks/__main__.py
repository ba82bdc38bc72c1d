"""The command line: measures, writes `results.json`, the table and the plots.

python -m benchmarks [--quick] [--only NAME …] [--check]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.measure import Failed, NotMeasured, run
from benchmarks.rows import QUICK_SIZES, Budget, Figure, PeerSizes, Row, rows

__all__ = ["main"]

RESULTS = Path(__file__).with_name("results.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures what is asked for.

    Returns:
        1 when a side failed, or with `--check` when a ratio to a floor is above its target; else 0.
    """
    given = _arguments(arguments)
    every = rows(given.quick, _sizes(given))
    chosen = [row for row in every if not given.only or any(word in row.name for word in given.only)]
    if given.list or not chosen:
        print("\n".join(row.name for row in every))
        return 0 if given.list else 2
    name = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    found: list[dict[str, Any]] = []
    failed = False
    for row in chosen:
        began = time.monotonic()
        print(f"{row.name} …", flush=True)
        try:
            entries = measured(row, given.repeats or row.repeats, given.work)
        except Failed as error:
            failed = True
            print(f"  failed: {error}", file=sys.stderr)
            continue
        for entry in entries:
            print(f"  {report.line(entry)}", flush=True)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
        found += entries
        if not given.dry:
            report.save(given.output, found, mode="quick" if given.quick else "full", run=name)
    if not (given.dry or given.quick or given.no_docs):
        report.publish(given.output)
    missed = [entry["name"] for entry in found if report.missed(entry) and not entry.get("budget")]
    if given.check and missed:
        print("above their targets: " + "; ".join(missed))
    return 1 if failed or (given.check and missed) else 0


def measured(row: Row, repeats: int, work: Path | None = None) -> list[dict[str, Any]]:
    """The entries of one row: its sides one after the other, as often as asked for.

    Args:
        row: The comparison.
        repeats: How often.
        work: A directory for what is prepared, kept; a temporary one by default.

    Raises:
        Failed: A side ended with an error.
    """
    folder = Path(work or tempfile.mkdtemp(prefix="starlake-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    samples: dict[str, list[dict[str, Any]]] = {}
    notes: dict[str, Any] = dict(row.notes)
    try:
        for call in row.prepare:
            run(call, folder)
        for _ in range(repeats):
            for call in row.calls:
                got = run(call, folder)
                own = {"process": got["process"], "peak": got["peak"]}
                notes.update({f"{call.function}: {name}": value for name, value in got["notes"].items()})
                for part in got["parts"]:
                    samples.setdefault(part["side"], []).append({**own, **part})
    except NotMeasured as absent:
        return [_entry(row, figure, {"not_measured": str(absent)}) for figure in row.figures]
    finally:
        if work is None:
            shutil.rmtree(folder, ignore_errors=True)
    return [_entry(row, figure, {**_ratio(figure, samples), "notes": notes}) for figure in row.figures]


def _entry(row: Row, figure: Figure, found: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{row.name}: {figure.name}" if figure.name else row.name
    budget = {"budget": figure.floor.seconds} if isinstance(figure.floor, Budget) else {}
    head = {"name": name, "ratio": None, "target": figure.target, "floor": figure.says, "size": row.size}
    return {**head, "quantity": figure.quantity, **budget, **found}


def _ratio(figure: Figure, samples: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """The least of ours over the least of the floor: what else runs on a machine only ever adds to a sample."""

    def of(side: str) -> list[float]:
        return [round(one[figure.quantity], 4) for one in samples[side]]

    mine = of(figure.side)
    less = min(of(figure.less)) if figure.less else 0.0
    floor = [figure.floor.seconds] if isinstance(figure.floor, Budget) else of(figure.floor)
    return {
        "ratio": round((min(mine) - less) / min(floor), 3),
        "ours": {"min": min(mine), "median": statistics.median(mine), "all": mine},
        "beside": {"min": min(floor), "median": statistics.median(floor), "all": floor},
        **({"less": less} if figure.less else {}),
    }


def _sizes(given: argparse.Namespace) -> PeerSizes:
    """Returns the sizes of the mode, with those that are given."""
    names = ("tables", "transforms", "run", "rows", "bad_rows")
    chosen = {name: value for name in names if (value := getattr(given, name)) is not None}
    return replace(
        QUICK_SIZES if given.quick else PeerSizes(),
        **{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()},
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under five minutes; docs are left alone")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows whose name holds one of these words")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a ratio is above its target")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--no-docs", action="store_true", help="leave the table and the plots of the docs alone")
    parser.add_argument("--list", action="store_true", help="the names of the rows")
    parser.add_argument("--repeats", type=int, help="how often each side is run")
    parser.add_argument("--work", type=Path, help="a directory for what is prepared, kept for the next time")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the results; rows not measured now are kept")
    sizes = parser.add_argument_group("sizes of the rows that are compared with other programs")
    sizes.add_argument("--tables", type=int, nargs="+", help="tables of code locations (starlake-dagster)")
    sizes.add_argument("--transforms", type=int, nargs="+", help="transforms of code locations (dagster-dbt)")
    sizes.add_argument("--run", type=int, help="transforms of a run (dagster-dbt)")
    sizes.add_argument("--rows", type=int, nargs="+", help="rows of loaded files (dlt)")
    sizes.add_argument("--bad-rows", type=int, help="rows of a loaded file of which 1 %% are rejected (dlt)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
