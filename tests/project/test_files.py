"""What a directory holds besides files of the project: links, pipes, other line ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from starlake_dagster_assets.project.load import load_project
from tests.project.conftest import write
from tests.project.texts import ORDERS


def test_links_in_circles_and_broken_ones_harm_nothing(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {"load/sb/orders.sl.yml": ORDERS, "transform/kpi/rev.sql": "select * from sb.orders"})
    load = root / "metadata/load"
    (load / "up").symlink_to("..")
    (load / "sb/self.sl.yml").symlink_to("self.sl.yml")
    (load / "sb/gone.sl.yml").symlink_to("nowhere")
    (load / "linked2.sl.yml").mkdir()
    project, problems = load_project(root, environ={}, cache_dir=tmp_path / "cache")
    assert [table.id for table in project.tables] == ["sb.orders"]
    assert [(p.file, p.code, p.severity) for p in problems] == [
        ("metadata/load/sb/gone.sl.yml", "unreadable-file", "error"),
        ("metadata/load/sb/self.sl.yml", "unreadable-file", "error"),
        ("metadata/load/up", "ignored-file", "warning"),
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_wait_for_its_writer(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {"load/sb/orders.sl.yml": ORDERS})
    os.mkfifo(root / "metadata/load/sb/pipe.sl.yml")
    _, problems = load_project(root, environ={}, cache_dir=tmp_path / "cache")
    assert [str(p) for p in problems] == ["metadata/load/sb/pipe.sl.yml: cannot be read: it is not a regular file."]


def test_windows_line_ends(tmp_path: Path) -> None:
    root = write(tmp_path / "p", {})
    sql = "\ufeff--SL_PRESQL\ndelete from a.b;\n-- SL_SQL\nselect *\nfrom sb.orders\n--SL_POSTSQL\nselect 2"
    for path, text in {"load/sb/orders.sl.yml": ORDERS, "transform/kpi/rev.sql": sql}.items():
        target = root / "metadata" / path
        target.parent.mkdir(parents=True)
        target.write_bytes(text.replace("\n", "\r\n").encode())
    project, problems = load_project(root, environ={}, cache_dir=tmp_path / "cache")
    assert not problems
    (task,) = project.tasks
    assert (task.presql, task.sql, task.postsql) == (
        ("delete from a.b",),
        "select *\nfrom sb.orders",
        ("select 2",),
    )
    assert task.references == ("sb.orders",)
