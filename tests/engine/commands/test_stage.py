"""`stage` as a command on a project of files: what waits for an ack, and a file that two tables want."""

from pathlib import Path

import pytest

from starlake_dagster_assets.engine.commands.program import execute_command
from tests.engine.reading.factory import written

APPLICATION = (
    "version: 1\napplication:\n  connectionRef: duckdb\n  connections:\n    duckdb:\n"
    '      {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/store.db", driver: org.duckdb.DuckDBDriver}}\n'
)


def project_of(root: Path, domain: str, **tables: str) -> None:
    """A project whose tables are `pattern` and more metadata, in the order of their names."""
    folder = root / "metadata" / "load" / "d"
    folder.mkdir(parents=True)
    (root / "incoming").mkdir()
    written(root / "metadata" / "application.sl.yml", APPLICATION)
    metadata = f'{{directory: "{{{{SL_ROOT}}}}/incoming"{domain}}}'
    written(folder / "_config.sl.yml", f"version: 1\nload: {{metadata: {metadata}}}\n")
    for name, more in tables.items():
        written(
            folder / f"{name}.sl.yml",
            f'version: 1\ntable: {{name: {name}, pattern: "{name}.*[.]csv", metadata: {{separator: ","{more}}}, '
            "attributes: [{name: id, type: int}]}\n",
        )


def run(root: Path, *argv: str) -> tuple[int, str]:
    lines: list[str] = []
    code = execute_command(list(argv), {"SL_ROOT": str(root)}, lambda line: lines.append(line.text))
    return code, "\n".join(lines)


def staged(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "datasets").rglob("*.csv"))


@pytest.mark.parametrize(
    ("domain", "table", "acks", "expected"),
    [
        ("", "", [], ["a1.csv", "a2.csv"]),
        (", ack: ok", "", ["a1.ok"], ["a1.csv"]),
        (", ack: ok", "", [], []),
        (", ack: ok", ', ack: ""', [], ["a1.csv", "a2.csv"]),
        (", ack: ok", ", ack: done", ["a1.ok", "a2.done"], ["a2.csv"]),
        ("", ", ack: .done", ["a1.done"], ["a1.csv"]),
        (", ack: ok", "", ["a1.csv.ok"], []),
    ],
)
def test_acks(tmp_path: Path, domain: str, table: str, acks: list[str], expected: list[str]) -> None:
    project_of(tmp_path, domain, a=table)
    for name in ("a1.csv", "a2.csv", *acks):
        written(tmp_path / "incoming" / name, "id\n1\n")
    code, text = run(tmp_path, "stage")
    assert (code, staged(tmp_path)) == (0, expected), text
    used = {f"{Path(name).stem}" for name in expected}
    left = sorted(path.name for path in (tmp_path / "incoming").iterdir())
    kept = {name for name in acks if name.split(".")[0] not in used}
    assert left == sorted(kept | ({"a1.csv", "a2.csv"} - set(expected)))


def test_a_file_that_two_tables_want_stays_alone(tmp_path: Path) -> None:
    project_of(tmp_path, "", a="", ab="")
    for name in ("a1.csv", "ab1.csv"):
        written(tmp_path / "incoming" / name, "id\n1\n")
    code, text = run(tmp_path, "stage")
    assert (code, staged(tmp_path)) == (1, ["a1.csv"])
    assert all(part in text for part in ("ab1.csv matches tables", "'d.a'", "'d.ab'"))
    assert sorted(path.name for path in (tmp_path / "incoming").iterdir()) == ["ab1.csv"]
