"""The program that the tasks of exported DAGs run: exit codes by the rules of Dagster steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject, export_airflow
from starlake_dagster_assets.airflow.render.dag_file import MARKER
from starlake_dagster_assets.airflow.runtime.load_spec import WorkerTable
from starlake_dagster_assets.airflow.runtime.local_try_record import WorkerAreas
from starlake_dagster_assets.airflow.shared_module import build_shared_module
from starlake_dagster_assets.airflow.worker import FAILED, NOTHING
from tests.fakes.script import Scripted

LOAD = ("load", "--domains", "sales", "--tables")


class Worker:
    """A project, its export, and a `starlake` whose files stay in `ingesting` as those of the real one do."""

    def __init__(self, work: Path) -> None:
        self.root, self.dags = work / "shop", work / "dags"
        files = {
            "application.sl.yml": {
                "application": {"connectionRef": "main", "connections": {"main": {"type": "bigquery"}}}
            },
            "load/sales/_config.sl.yml": {"load": {"name": "sales", "metadata": {"directory": "{{SL_ROOT}}/in"}}},
            **{
                f"load/sales/{name}.sl.yml": {
                    "table": {
                        "name": name,
                        "pattern": f"{name}-.*.csv",
                        "attributes": [{"name": "id", "type": "long"}],
                    }
                }
                for name in ("orders", "items")
            },
        }
        for name, content in files.items():
            path = self.root / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"version": 1, **content}))
        export_airflow(StarlakeProject(self.root, cache_dir=work / "cache"), self.dags)
        self.scripted = Scripted(work / "scripted")
        self.said = ""
        self.area("stage").mkdir(parents=True)

    def area(self, name: str) -> Path:
        return self.root / "datasets" / name / "sales"

    def deliver(self, *names: str, text: str = "id\n1\n") -> None:
        for name in names:
            (self.area("stage") / name).write_text(text)

    def files(self, area: str) -> dict[str, str]:
        """The files of an area with their texts."""
        return {path.name: path.read_text() for path in sorted(self.area(area).glob("*"))}

    @property
    def reasons(self) -> str:
        """What the program itself says of the result."""
        return "\n".join(line for line in self.said.splitlines() if line.startswith(("starlake-dagster: ", "  ")))

    def run(self, *argv: str, number: int = 1, run: str = "r1", program: Path | None = None, **env: str) -> int:
        """A try of a task, in a process of its own; the exported file is the program."""
        (path,) = self.dags.glob("starlake_worker_*.py")
        known = {
            **self.scripted.environ,
            "PATH": "/usr/bin:/bin",
            "STARLAKE": str(program or self.scripted.path),
            "STARLAKE_EXPORT": str(self.dags / "starlake_shop.manifest.json"),
            "STARLAKE_ATTEMPT": f"dag/load/{run}/-1/{number}",
            "SL_ROOT": str(self.root),
            "AIRFLOW_HOME": str(self.root.parent),
            **env,
        }
        done = subprocess.run(
            [sys.executable, str(path), *argv], env=known, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        self.said = done.stdout
        return done.returncode


@pytest.fixture
def worker(tmp_path) -> Worker:
    return Worker(tmp_path)


def moves(do: str) -> dict[str, dict[str, object]]:
    return {"sales.orders": {"do": do, "move": True}}


# --------------------------------------------------------------------------------------------------- one try


def test_a_load_of_a_file_succeeds_and_one_without_a_file_is_skipped(worker):
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders") == 0
    assert worker.run(*LOAD, "orders", run="r2") == NOTHING
    assert worker.run(*LOAD, "items,orders", run="r3") == NOTHING


@pytest.mark.parametrize("level", ["error", "warn", "ERROR", "off", ""])
def test_the_log_level_of_the_user_hides_no_load(worker, level):
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders", SL_LOG_LEVEL=level) == 0


@pytest.mark.parametrize("level", ["debug", "TRACE"])
def test_a_finer_log_level_stays(worker, level):
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders", SL_LOG_LEVEL=level) == 0
    assert {call.env["SL_LOG_LEVEL"] for call in worker.scripted.calls("load")} == {level.lower()}


STARTED = "26/11/29 01:00:00 INFO IngestionWorkflow: Ingest resolved file : a.json,b.json as table sales.orders"
SUMMARY = (
    "26/11/29 01:00:01 INFO JsonIngestionJob: ingestion-summary -> files: [{}], domain: sales, schema: orders, "
    "input: 2, accepted: 2, rejected:0"
)
WALKED = "26/11/29 01:00:02 INFO IngestionWorkflow: All tables loaded successfully"


@pytest.mark.parametrize(
    ("lines", "code", "expected", "named"),
    [
        ([STARTED, SUMMARY.format("a.json")], 0, FAILED, "b.json"),
        ([STARTED, SUMMARY.format("a.json"), WALKED], 0, FAILED, "b.json"),
        ([STARTED, SUMMARY.format("a.json"), SUMMARY.format("b.json")], 0, 0, "loaded"),
        ([STARTED, SUMMARY.format("a.json"), SUMMARY.format("b.json")], 1, FAILED, "exit code 1"),
        ([WALKED], 0, NOTHING, "no file"),
        (["a line of no known form"], 0, FAILED, "unknown"),
        ([], 0, FAILED, "unknown"),
        ([], 127, FAILED, "exit code 127"),
        ([SUMMARY.format("a.json")], 0, 0, "loaded"),
    ],
)
def test_complete_evidence_is_required(worker, tmp_path, lines, code, expected, named):
    program = tmp_path / "starlake"
    text = "\n".join(lines)
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {code}\n")
    program.chmod(0o755)
    assert worker.run(*LOAD, "orders", program=program, SL_ROOT="/nowhere") == expected
    assert named in worker.reasons


def test_a_file_that_the_program_leaves_in_stage_is_not_nothing(worker):
    worker.deliver("orders-1.csv")
    worker.scripted.tables({"sales.orders": {"do": "nothing"}})
    assert worker.run(*LOAD, "orders") == FAILED
    assert "orders-1.csv" in worker.said


def test_a_program_that_is_not_there_is_named(worker, tmp_path):
    assert worker.run(*LOAD, "orders", program=tmp_path / "nothing") == FAILED
    assert "cannot be run" in worker.said


@pytest.mark.parametrize(("do", "expected"), [("ok", 0), ("fail", FAILED), ("unknown", FAILED), ("crash", FAILED)])
def test_a_transform_succeeds_where_the_program_says_so(worker, do, expected):
    worker.scripted.tasks({"kpi.sums": {"do": do}})
    assert worker.run("transform", "--name", "kpi.sums") == expected


def test_a_transform_that_says_nothing_is_unknown(worker):
    assert worker.run("transform", "--name", "kpi.sums", program=Path("/bin/true")) == FAILED
    assert "unknown" in worker.said


# ------------------------------------------------------------------------------------------------ several tries


def test_a_file_whose_load_failed_is_brought_back_and_the_retry_loads_it(worker):
    worker.deliver("orders-1.csv")
    worker.scripted.tables(moves("fail"))
    assert worker.run(*LOAD, "orders") == FAILED
    assert [path.name for path in worker.area("stage").iterdir()] == ["orders-1.csv"]
    worker.scripted.tables({})
    assert worker.run(*LOAD, "orders", number=2) == 0
    assert (worker.area("archive") / "orders-1.csv").exists()


def test_a_retry_that_finds_no_file_fails_where_the_first_try_took_one(worker, tmp_path):
    worker.deliver("orders-1.csv")
    worker.scripted.tables(moves("fail"))
    assert worker.run(*LOAD, "orders") == FAILED
    for path in worker.area("stage").iterdir():
        path.replace(tmp_path / path.name)  # an engine that keeps it elsewhere
    worker.scripted.tables({})
    for number in (2, 3):
        assert worker.run(*LOAD, "orders", number=number) == FAILED
        assert "orders-1.csv was taken by an earlier load" in worker.reasons
    worker.deliver("orders-2.csv")
    assert worker.run(*LOAD, "orders", number=4) == FAILED, "the first delivery is still lost"
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders", number=5) == 0
    assert worker.run(*LOAD, "orders", run="r2") == NOTHING, "another run has a history of its own"


def test_a_file_that_was_refused_after_its_summary_stays_and_the_retry_names_it(worker):
    worker.deliver("orders-1.csv")
    worker.scripted.tables(moves("refuse"))
    assert worker.run(*LOAD, "orders") == FAILED
    worker.scripted.tables({})
    assert worker.run(*LOAD, "orders", number=2) == FAILED
    assert "orders-1.csv" in worker.said


def test_a_retry_may_find_nothing_where_nothing_was_taken(worker, tmp_path):
    assert worker.run(*LOAD, "orders", program=tmp_path / "nothing") == FAILED
    assert worker.run(*LOAD, "orders", number=2) == NOTHING


def test_a_retry_without_a_record_of_the_first_try_is_unknown(worker):
    assert worker.run(*LOAD, "orders", number=2) == FAILED
    assert "unknown" in worker.said
    assert worker.run(*LOAD, "orders", number=3) == FAILED
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders", number=4) == 0


def test_a_task_that_is_cleared_after_it_ended_well_may_find_nothing(worker):
    worker.deliver("orders-1.csv")
    assert worker.run(*LOAD, "orders") == 0
    assert worker.run(*LOAD, "orders", number=2) == NOTHING


def test_a_batch_whose_other_table_failed_is_whole_after_the_retry(worker):
    worker.deliver("orders-1.csv", "items-1.csv")
    worker.scripted.tables(moves("fail"))
    assert worker.run(*LOAD, "orders,items") == FAILED
    worker.scripted.tables({})
    assert worker.run(*LOAD, "orders,items", number=2) == 0
    assert "sales.items: loaded" in worker.said


def test_a_retry_after_a_part_of_the_files_was_loaded_succeeds_with_the_rest(worker):
    worker.deliver("orders-1.csv", "orders-2.csv")
    worker.scripted.tables(moves("part"))
    assert worker.run(*LOAD, "orders") == FAILED
    assert "orders-2.csv" in worker.reasons and [*worker.files("stage")] == ["orders-2.csv"]
    assert worker.run(*LOAD, "orders", number=2) == FAILED
    worker.scripted.tables({})
    assert worker.run(*LOAD, "orders", number=3) == 0
    assert [*worker.files("archive")] == ["orders-1.csv", "orders-2.csv"]


def test_a_file_that_was_loaded_by_hand_between_two_tries_is_loaded(worker):
    worker.deliver("orders-1.csv")
    worker.scripted.tables(moves("refuse"))
    assert worker.run(*LOAD, "orders") == FAILED
    assert worker.run(*LOAD, "orders", number=2) == FAILED
    worker.area("archive").mkdir(parents=True)
    (worker.area("ingesting") / "orders-1.csv").rename(worker.area("archive") / "orders-1.csv")
    assert worker.run(*LOAD, "orders", number=3) == 0
    assert "orders: loaded" in worker.reasons


def test_an_older_file_of_the_same_name_in_the_archive_does_not_count(worker):
    worker.area("archive").mkdir(parents=True)
    (worker.area("archive") / "orders-1.csv").write_text("older")
    worker.deliver("orders-1.csv")
    worker.scripted.tables(moves("refuse"))
    for number in (1, 2):
        assert worker.run(*LOAD, "orders", number=number) == FAILED


def test_without_an_archive_the_log_tells_which_part_was_loaded(worker, tmp_path):
    program = tmp_path / "starlake"
    backed_up = (
        "26/11/29 01:00:01 INFO IngestionWorkflow: Backing up file gs://b/ingesting/sales/a.json to gs://b/a.json"
    )
    error = "26/11/29 01:00:01 ERROR IngestionWorkflow: java.sql.SQLException: no"

    def tell(*lines: str, code: int) -> None:
        text = "\n".join(lines)
        program.write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\nexit {code}\n")
        program.chmod(0o755)

    known = {"program": program, "SL_ROOT": "gs://b", "AIRFLOW_HOME": str(tmp_path)}
    tell(STARTED, SUMMARY.format("a.json"), backed_up, error, code=1)
    assert worker.run(*LOAD, "orders", **known) == FAILED
    assert "b.json" in worker.reasons and "a.json" not in worker.reasons
    tell(STARTED.replace("a.json,b.json", "c.json"), SUMMARY.format("c.json"), WALKED, code=0)
    assert worker.run(*LOAD, "orders", number=2, **known) == FAILED
    assert "b.json was taken by an earlier load" in worker.reasons
    tell(STARTED.replace("a.json,b.json", "b.json"), SUMMARY.format("b.json"), WALKED, code=0)
    assert worker.run(*LOAD, "orders", number=3, **known) == 0


def meanwhile(worker: Worker, tmp_path: Path, *, summary: bool = False) -> Path:
    """A program whose load fails, while a new file of the same name comes to `stage`."""
    stage, ingesting = worker.area("stage"), worker.area("ingesting")
    lines = [STARTED.replace("a.json,b.json", "orders-1.csv"), *([SUMMARY.format("orders-1.csv")] if summary else [])]
    text = "\n".join(lines)
    program = tmp_path / "failing"
    program.write_text(
        f"#!/bin/sh\nmkdir -p {ingesting}\nmv {stage}/orders-1.csv {ingesting}\necho 'id\n2' > {stage}/orders-1.csv\n"
        f"cat <<'E'\n{text}\n26/11/29 01:00:02 ERROR IngestionWorkflow: java.sql.SQLException: no\nE\nexit 1\n"
    )
    program.chmod(0o755)
    return program


def test_a_new_file_of_the_same_name_and_the_first_one_are_both_loaded(worker, tmp_path):
    worker.deliver("orders-1.csv", text="first")
    assert worker.run(*LOAD, "orders", program=meanwhile(worker, tmp_path)) == FAILED
    assert worker.files("stage") == {"orders-1-0.csv": "first", "orders-1.csv": "id\n2\n"}, "the older one first"
    assert worker.run(*LOAD, "orders", number=2) == 0
    assert worker.files("archive") == {"orders-1-0.csv": "first", "orders-1.csv": "id\n2\n"}


def test_a_new_file_does_not_overwrite_one_whose_rows_may_be_in_the_table(worker, tmp_path):
    worker.deliver("orders-1.csv", text="first")
    assert worker.run(*LOAD, "orders", program=meanwhile(worker, tmp_path, summary=True)) == FAILED
    for number in (2, 3):
        assert worker.run(*LOAD, "orders", number=number) == FAILED
        assert "orders-1.csv in `ingesting`" in worker.reasons
    assert worker.files("ingesting") == {"orders-1.csv": "first"} and not worker.scripted.calls("load")
    (worker.area("ingesting") / "orders-1.csv").unlink()
    assert worker.run(*LOAD, "orders", number=4) == 0


def test_a_file_that_was_moved_back_and_replaced_is_named_once(worker):
    worker.deliver("orders-1.csv", text="first")
    worker.scripted.tables(moves("fail"))
    assert worker.run(*LOAD, "orders") == FAILED
    worker.deliver("orders-1.csv", text="the second")
    worker.scripted.tables({})
    assert worker.run(*LOAD, "orders", number=2) == FAILED
    assert "orders-1.csv was not loaded and moved back to `stage`, where another file" in worker.reasons
    assert worker.run(*LOAD, "orders", number=3) == 0


@pytest.mark.parametrize(
    ("name", "pattern", "others", "expected"),
    [
        ("orders-1.csv", "orders-.*.csv", [], "orders-1-0.csv"),
        ("orders.csv", r"orders.*\.csv", ["orders-0.csv"], "orders.0.csv"),
        ("orders-20240502.csv", r"orders-\d{8}\.csv", [], None),
        ("orders-20240502.csv", r".*orders-\d{8}\.csv", [], "0-orders-20240502.csv"),
        ("orders.tar.gz", r"orders\.tar.*\.gz", [], "orders.tar-0.gz"),
        ("orders", "orders.*", [], "orders-0"),
    ],
)
def test_another_name_for_a_file_is_one_of_its_table_alone(tmp_path, name, pattern, others, expected):
    for area in ("stage", "ingesting"):
        (tmp_path / area / "sales").mkdir(parents=True)
        (tmp_path / area / "sales" / name).write_text(area)
    areas = WorkerAreas({area: tmp_path / area for area in ("stage", "ingesting")})
    table = WorkerTable("orders", "sales", pattern)
    assert areas.put_back(table, name, [table, *(WorkerTable("x", "sales", one) for one in others)]) == expected
    texts = {path.name: path.read_text() for path in (tmp_path / "stage" / "sales").iterdir()}
    assert texts == {name: "stage", **({expected: "ingesting"} if expected else {})}


def test_a_try_that_is_killed_leaves_a_record(worker, tmp_path):
    worker.deliver("orders-1.csv")
    killed = tmp_path / "killed"
    ingesting = worker.area("ingesting")
    line = STARTED.replace("a.json,b.json", "orders-1.csv")
    killed.write_text(
        f"#!/bin/sh\nmkdir -p {ingesting}\nmv {worker.area('stage')}/orders-1.csv {ingesting}\n"
        f"echo '{line}'\n"
        f"until grep -q 'unfinished.*orders-1' {worker.root}/datasets/.starlake_tries/*.json; do :; done\n"
        "kill -9 $PPID\n"
    )
    killed.chmod(0o755)
    assert worker.run(*LOAD, "orders", program=killed) == -9
    assert worker.run(*LOAD, "orders", number=2) == 0
    assert (worker.area("archive") / "orders-1.csv").exists()


# ---------------------------------------------------------------------------------------------------- the module


def test_the_module_is_the_same_each_time_and_needs_nothing_but_what_airflow_brings():
    first = build_shared_module(MARKER)
    build_shared_module.cache_clear()
    assert (build_shared_module(MARKER).name, build_shared_module(MARKER).text) == (first.name, first.text)
    imported = {
        line.split()[1].partition(".")[0] for line in first.text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported - sys.stdlib_module_names == {"jinja2"}
    assert "starlake_dagster_assets." not in first.text


# ---------------------------------------------------------------------------------------------- in containers

DOCKER = """#!{python}
import os, sys
words = sys.argv[1:]
assert words[:3] == ["run", "--rm", "--init"], words
image = words.index("registry.example.com/starlake:1.6.0")
options = dict(zip(words[3:image:2], words[4:image:2]))
assert options["--user"] == f"{{os.getuid()}}:{{os.getgid()}}", options
names = [value for flag, value in zip(words[3:image:2], words[4:image:2]) if flag == "--env"]
volumes = [value for flag, value in zip(words[3:image:2], words[4:image:2]) if flag == "--volume"]
assert volumes == [f"{{os.environ['SL_ROOT']}}:{{os.environ['SL_ROOT']}}", "/tmp:/tmp"], volumes
inside = {{name: os.environ[name] for name in names}}
os.execve({program!r}, [{program!r}, *words[image + 1:]], {{**inside, **{environ!r}}})
"""


def test_a_script_of_the_documentation_runs_the_program_in_a_container(worker, tmp_path):
    page = Path(__file__).resolve().parents[2].joinpath("docs", "airflow.md").read_text(encoding="utf-8")
    (block,) = [one.partition("```")[0] for one in page.split("```sh\n") if "docker run" in one.partition("```")[0]]
    script, docker = tmp_path / "in_docker", tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    program, environ = str(worker.scripted.path), {**worker.scripted.environ, "PATH": "/usr/bin:/bin"}
    script.write_text(block)
    docker.write_text(DOCKER.format(python=sys.executable, program=program, environ=environ))
    for path in (script, docker):
        path.chmod(0o755)
    worker.scripted.tables(moves("load"))
    worker.deliver("orders-1.csv")
    given = {"program": script, "PATH": f"{docker.parent}:/usr/bin:/bin", "SL_ENV": "PROD's"}
    assert worker.run(*LOAD, "orders", **given) == 0, worker.said
    assert worker.run(*LOAD, "orders", run="r2", **given) == NOTHING
    assert [call.env for call in worker.scripted.calls("load")] == 2 * [
        {"SL_ROOT": str(worker.root), "SL_ENV": "PROD's", "SL_LOG_LEVEL": "info"}
    ]
