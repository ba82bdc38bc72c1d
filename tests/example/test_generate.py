"""The delivered files are what the generator writes, and delivering copies them."""

import sys
from pathlib import Path

import pytest


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_generating_again_gives_the_committed_bytes(example, tmp_path, module_of, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["generate.py", "--to", str(tmp_path)])
    module_of(example / "generate.py").main()
    assert files_below(tmp_path) == files_below(example / "deliveries")


def test_the_files_hold_what_the_example_is_about(truth_of):
    first, second = truth_of("1"), truth_of("1", "2")
    assert sum(rejected for _, _, rejected in first.counts.values()) == 4
    assert sum(rejected for _, _, rejected in second.counts.values()) == 3
    assert first.orders_without_customer() < second.orders_without_customer()
    changed = {name for name, order in first.orders.items() if second.orders[name] != order}
    assert len(changed) == 12, "orders of the first day that the second one settles"
    assert sorted(len(prices) for prices in second.versions.values()) == [1] * 10 + [2] * 3
    assert any("🌸" in row["last_name"] for row in second.customers.values())


def test_late_and_repeated_orders_are_among_the_files(truth_of, example):
    lines = [
        line
        for file in sorted(example.glob("deliveries/*/starbake/orders_*"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    repeated = len(lines) - len(set(lines))
    assert repeated == 5
    assert len(set(lines)) > len(truth_of("1", "2").orders) + 2


@pytest.mark.parametrize(("day", "count"), [("1", 7), ("2", 8), ("all", 15)])
def test_delivering_copies_the_files_of_a_day(copy, module_of, day, count):
    before = files_below(copy / "deliveries")
    deliver = module_of(copy / "deliver.py").deliver
    delivered = deliver(day, reset=True)
    incoming = copy / "starbake" / "datasets" / "incoming"
    assert len(delivered) == count
    assert set(delivered) == {path for path in incoming.rglob("*") if path.is_file()}
    assert files_below(copy / "deliveries") == before
    assert {path.parent.name for path in delivered} == {"starbake", "network"}


def test_a_reset_forgets_what_was_loaded(copy, module_of):
    left = copy / "starbake" / "datasets" / "duckdb.db"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"old")
    deliver = module_of(copy / "deliver.py").deliver
    deliver("1")
    assert left.exists()
    deliver("1", reset=True)
    assert not left.exists()


def test_an_unknown_day_is_refused(example, module_of, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["deliver.py", "--day", "3"])
    with pytest.raises(SystemExit) as stop:
        module_of(example / "deliver.py").main()
    assert stop.value.code == 2
    assert "'3'" in capsys.readouterr().err
