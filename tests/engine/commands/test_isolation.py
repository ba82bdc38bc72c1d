"""What one file, table or domain costs when it fails: only itself, and never a row or a file of another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from starlake_dagster_assets.engine.writing import ingest


def append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as more:
        more.write(text)


def archive_is_a_file(bench: Any) -> None:
    bench.write("datasets/archive/shop", "not a directory")


def name_of_255_bytes(bench: Any) -> None:
    bench.file("orders_" + "x" * 244 + ".csv", "7,a,5")
    bench.write("metadata/load/shop/orders.sl.yml", (bench.root / "metadata/load/shop/orders.sl.yml").read_text())


def file_of_nonsense(bench: Any) -> None:
    bench.file("orders_0.csv", header="no,such,columns")


def ingesting_has_a_directory_of_that_name(bench: Any) -> None:
    (bench.root / "datasets/ingesting/shop/orders_1.csv").mkdir(parents=True)


def table_without_a_known_type(bench: Any) -> None:
    bench.table("orders", attributes="[{name: id, type: in}]")


@pytest.mark.parametrize(
    "spoil",
    [
        archive_is_a_file,
        name_of_255_bytes,
        file_of_nonsense,
        ingesting_has_a_directory_of_that_name,
        table_without_a_known_type,
    ],
)
def test_another_domain_is_loaded_whatever_happens_in_this_one(bench: Any, spoil: Callable[[Any], None]) -> None:
    bench.table("orders")
    bench.file("orders_1.csv", "1,a,5")
    bench.write(
        "metadata/load/zoo/_config.sl.yml", "version: 1\nload: {name: zoo, metadata: {directory: '{{SL_ROOT}}/in/zoo'}}"
    )
    bench.write(
        "metadata/load/zoo/animals.sl.yml",
        "version: 1\ntable:\n  name: animals\n  pattern: 'a.*'\n  attributes: [{name: id, type: int}]\n",
    )
    bench.write("datasets/stage/zoo/a1.csv", "id\n1\n")
    spoil(bench)
    code = bench.run("load")
    assert bench.query("SELECT * FROM zoo.animals") == [(1,)]
    assert code == (0 if spoil is name_of_255_bytes else 1), bench.stderr
    assert code == 0 or "shop" in bench.errors
    assert bench.files("unresolved") == []


def test_a_name_of_255_bytes_is_loaded_and_archived_twice(bench: Any) -> None:
    bench.table("orders")
    name = "orders_" + "é" * 122 + ".csv"
    assert len(name.encode()) == 255
    for _ in range(2):
        bench.file(name, "1,a,5")
        bench.ok("load")
    assert bench.query("SELECT count(*) FROM shop.orders") == [(2,)]
    archived = bench.files("archive")
    assert len(archived) == 2
    assert all(len(one.encode()) <= 255 and one.endswith(".csv") for one in archived)
    assert bench.files("ingesting") == []


def test_the_archive_keeps_every_delivery(bench: Any) -> None:
    bench.table("orders")
    for number in range(3):
        bench.file("orders_1.csv", f"{number},a,5")
        bench.ok("load")
    assert bench.files("archive") == ["orders_1.2.csv", "orders_1.3.csv", "orders_1.csv"]
    kept = [
        (bench.root / "datasets/archive/shop" / name).read_text().splitlines()[1][0] for name in bench.files("archive")
    ]
    assert sorted(kept) == ["0", "1", "2"]


@pytest.mark.parametrize("change", ["append", "same size", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_not_loaded(
    bench: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    bench.table("orders")
    bench.file("orders_1.csv", "1,a,5")
    entered = bench.root / "datasets/ingesting/shop/orders_1.csv"
    audit = ingest._audit

    def written(*given: Any) -> None:  # the rows are read, and not committed yet
        if change == "append":
            append(entered, "2,b,6\n")
        elif change == "same size":
            text = entered.read_text()
            entered.write_text(text.replace("1,a,5", "3,a,5"))
            os.utime(entered, (1, 1))
        elif change == "replace":
            new = entered.with_name("new")
            new.write_text("id,v,ts\n2,b,6\n3,c,7\n")
            os.replace(new, entered)
        else:
            entered.unlink()
        audit(*given)

    monkeypatch.setattr(ingest, "_audit", written)
    assert bench.run("load") == 1
    assert "orders_1.csv: the file changed while it was loaded" in bench.errors
    assert bench.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'shop'") == [(0,)]
    assert bench.files("stage") == ([] if change == "remove" else ["orders_1.csv"])
    assert bench.files("archive") == []
    monkeypatch.undo()
    if change != "remove":
        bench.ok("load")
        found = {"append": [(1,), (2,)], "same size": [(3,)], "replace": [(2,), (3,)]}[change]
        assert bench.query("SELECT id FROM shop.orders ORDER BY id") == found


def test_a_file_that_changes_after_its_rows_are_committed_is_not_archived(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.table("orders")
    bench.file("orders_1.csv", "1,a,5")
    entered = bench.root / "datasets/ingesting/shop/orders_1.csv"
    finished = ingest._finished

    def grown(*given: Any) -> Any:
        append(entered, "2,b,6\n")
        return finished(*given)

    monkeypatch.setattr(ingest, "_finished", grown)
    for _ in range(2):  # the second load finds the file in ingesting, and its rows in the table
        assert bench.run("load") == 1
        assert "the file changed while it was loaded" in bench.errors
        assert bench.query("SELECT id FROM shop.orders") == [(1,)]
        assert bench.files("archive") == []
        assert entered.read_text().endswith("2,b,6\n")


@pytest.mark.parametrize("name", ["orders_[1].csv", "orders_?.csv", "orders_*.csv"])
def test_a_name_is_never_a_pattern_of_several_files(bench: Any, name: str) -> None:
    bench.table("orders")
    bench.table("other", extra="")
    bench.file(name, "1,a,5")
    bench.file("orders_1.csv", "2,b,6")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders ORDER BY id") == [(1,), (2,)]


def test_links_that_leave_the_directory_are_not_deliveries(bench: Any) -> None:
    bench.table("orders")
    outside = bench.write("outside.csv", "id,v,ts\n9,private,5\n")
    inside = bench.file("kept_1.txt", "1,a,5", area="incoming")
    for area in ("incoming", "stage"):
        (bench.root / f"datasets/{area}/shop").mkdir(parents=True, exist_ok=True)
        (bench.root / f"datasets/{area}/shop/orders_{area}.csv").symlink_to(outside)
    (inside.parent / "orders_in.csv").symlink_to(inside.name)
    bench.ok("stage")
    assert "orders_incoming.csv stays: it is a link to" in "\n".join(bench.stderr)
    bench.ok("load")
    assert "orders_stage.csv is not loaded: it is a link" in "\n".join(bench.stderr)
    assert bench.query("SELECT id, v FROM shop.orders") == [(1, "a")]
    assert bench.files("incoming") == ["kept_1.txt", "orders_incoming.csv"]


def test_the_limit_of_recorded_rows_is_told(bench: Any) -> None:
    bench.table("orders")
    bench.application("audit: {maxErrors: 3}")
    bench.file("orders_1.csv", "1,a,5", *[f"x{number},a,5" for number in range(7)])
    bench.ok("load")
    assert "the first 3 of 7 rejected rows are recorded in audit.rejected" in "\n".join(bench.stderr)
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(3,)]


def test_secrets_are_in_no_line_and_in_no_table(bench: Any) -> None:
    bench.write("metadata/env.sl.yml", "version: 1\nenv: {DB_PASSWORD: hunter2hunter2}\n")
    bench.table("orders", extra="postsql: [\"select error('{{DB_PASSWORD}}')\"]")
    bench.task("kpi.t", "select error('{{DB_PASSWORD}}')")
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "***" in bench.errors
    told = bench.stdout + bench.stderr
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert not any("hunter2" in line for line in [*told, *bench.stdout, *bench.stderr])
    messages = bench.query("SELECT MESSAGE FROM audit.audit")
    assert len(messages) == 2
    assert not any("hunter2" in text for (text,) in messages)


def test_stage_waits_until_a_file_rests(bench: Any) -> None:
    bench.table("orders")
    file = bench.file("orders_1.csv", "1,a,5", area="incoming")
    bench.ok("stage", SL_STAGE_REST_SECONDS="3600")
    assert bench.files("incoming") == ["orders_1.csv"]
    os.utime(file, (1, 1))
    bench.ok("stage", SL_STAGE_REST_SECONDS="3600")
    assert bench.files("stage") == ["orders_1.csv"]
    assert bench.run("stage", SL_STAGE_REST_SECONDS="soon") == 1


def test_a_file_of_which_every_row_is_rejected_is_no_success(bench: Any) -> None:
    bench.table("orders", metadata="writeStrategy: {type: OVERWRITE}")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    bench.file("orders_2.csv", "x,a,5", "y,b,6")
    assert bench.run("load") == 1
    assert "is accepted (2 rejected)" in bench.errors
    assert "the first one because `id` (int) doesn't match pattern" in bench.errors
    assert bench.query("SELECT id FROM shop.orders") == [(1,)]  # and not overwritten by nothing
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(2,)]
    assert bench.files("stage") == ["orders_2.csv"]
    bench.ok("load", SL_ALL_REJECTED="warn")
    assert "all 2 rows are rejected" in "\n".join(bench.stderr)
    assert bench.query("SELECT count(*) FROM shop.orders") == [(0,)]
    assert bench.files("archive") == ["orders_1.csv", "orders_2.csv"]


def test_directories_of_killed_readings_are_removed(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed, held, young = (tmp_path / f"starlake-read-{name}" for name in ("killed", "held", "young"))
    for folder in (killed, held, young):
        folder.mkdir()
        (folder / "member").write_text("rows")
    with FileLock(held / ".lock"):
        for folder in (killed, held):
            os.utime(folder, (1, 1))
        bench.ok("load")
    assert [folder.exists() for folder in (killed, held, young)] == [False, True, True]


def test_a_file_that_fails_again_and_again_is_quarantined(bench: Any) -> None:
    bench.table("orders")
    bench.table("lines")
    bad = bench.file("orders_1.csv", header="no,such,columns")
    bench.file("lines_1.csv", "1,a,5")
    os.utime(bad, (1, 1))
    for _ in range(2):
        assert bench.run("load", SL_QUARANTINE_AFTER="3") == 1
        assert bench.files("stage") == ["orders_1.csv"]
    assert bench.run("load", SL_QUARANTINE_AFTER="3") == 1
    assert "orders_1.csv failed 3 times and is in" in "\n".join(bench.stderr)
    assert (bench.files("stage"), bench.files("quarantine")) == ([], ["orders_1.csv"])
    bench.ok("load")
    assert "1 file(s) in" in "\n".join(bench.stderr)
    # a newer file of that name begins anew
    bench.file("orders_1.csv", header="no,such,columns")
    os.utime(bench.root / "datasets/stage/shop/orders_1.csv", (4e9, 4e9))
    assert bench.run("load", SL_QUARANTINE_AFTER="3") == 1
    assert bench.files("stage") == ["orders_1.csv"]
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
