"""Loads in a cloud: where their files are decides the result, as in Dagster, over all tries of a task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.airflow.runtime import cloud_load, store_areas
from starlake_dagster_assets.airflow.runtime.cloud_load import begin_load, end_load
from starlake_dagster_assets.commands.model import CommandExit
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.parse import OutputParser

STORES = {"gs": "gs://shop", "s3": "s3://shop"}


class Store:
    """A bucket of Cloud Storage and of S3, as the hooks of the providers give it."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.read_only = False
        self.manifest = ""

    def put(self, key: str, text: str = "id") -> None:
        self.objects[key] = text
        self.versions[key] = self.versions.get(key, 0) + 1

    def move(self, name: str, source: str, target: str) -> None:
        del self.objects[f"datasets/{source}/sales/{name}"]
        self.put(f"datasets/{target}/sales/{name}")

    def import_module(self, name: str) -> Any:
        return SimpleNamespace(GCSHook=lambda: self, S3Hook=lambda: self)

    def get_conn(self) -> Store:
        return self

    def _below(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix) and "/" not in key[len(prefix) :]]

    # Cloud Storage
    def list_blobs(self, bucket: str, *, prefix: str, delimiter: str) -> list[Any]:
        assert (bucket, delimiter) == ("shop", "/")
        found = self._below(prefix)
        return [SimpleNamespace(name=key, size=2, generation=self.versions[key]) for key in found]

    def exists(self, bucket: str, key: str) -> bool:
        return key in self.objects

    def download(self, bucket: str, key: str) -> bytes:
        return self.objects[key].encode()

    def upload(self, bucket: str, key: str, *, data: str, mime_type: str) -> None:
        if self.read_only:
            raise RuntimeError("403: no permission")
        self.put(key, data)

    # S3
    def get_paginator(self, name: str) -> Any:
        def paginate(*, Bucket: str, Prefix: str, Delimiter: str) -> list[dict[str, Any]]:
            found = self._below(Prefix)
            contents = [{"Key": key, "Size": 2, "ETag": "e", "LastModified": self.versions[key]} for key in found]
            return [{"Contents": contents}, {}]

        assert name == "list_objects_v2"
        return SimpleNamespace(paginate=paginate)

    def check_for_key(self, key: str, bucket: str) -> bool:
        return key in self.objects

    def read_key(self, key: str, bucket: str) -> str:
        return self.objects[key]

    def load_string(self, text: str, key: str, bucket: str, *, replace: bool) -> None:
        self.upload(bucket, key, data=text, mime_type="")


class SkippedTask(Exception): ...


class Task:
    """A load of `sales.orders` in a cloud: tries of one task instance."""

    def __init__(self, store: Store, root: str, *stems: str) -> None:
        self.store, self.root, self.stems = store, root, stems or ("orders",)

    def context(self, number: int) -> dict[str, Any]:
        one = SimpleNamespace(dag_id="d", task_id="t", map_index=-1, try_number=number)
        one.xcom_pull = one.xcom_push = lambda **_: None
        task = SimpleNamespace(
            outlets=[], upstream_task_ids=[], render_template=lambda text, context: text.replace("ROOT", self.root)
        )
        moment = SimpleNamespace(astimezone=lambda zone: SimpleNamespace(strftime=lambda codes: "now"))
        dag = SimpleNamespace(dag_id="d", timezone="UTC", timetable=None)
        run = SimpleNamespace(run_after=moment, conf={})
        return {"ti": one, "task": task, "run_id": "r", "dag": dag, "dag_run": run}

    def run(self, work: Callable[[Store], None] | None, number: int = 1, *, code: int = 0, log: Any = None) -> str:
        """The state of a try in which the command does some work; deferred tasks begin twice."""
        context, given = (
            self.context(number),
            (
                {"SL_ROOT": "ROOT", "STARLAKE_EXPORT": self.store.manifest},
                "sales",
                *self.stems,
            ),
        )
        try:
            begin_load(*given)(context)
            if work is not None:
                work(self.store)
            begin_load(*given)(context)
            if code:
                return "failed"
            end_load(*given, log=log)(context)
        except SkippedTask:
            return "skipped"
        except RuntimeError as error:
            return f"failed: {error}"
        return "success"


@pytest.fixture
def store(monkeypatch, tmp_path) -> Store:
    found = Store()
    tables = {
        f"sales/{name}": {"domain": "sales", "name": name, "pattern": f"{name}-.*.csv"} for name in ("orders", "items")
    }
    areas = {name: f"{{{{datasets}}}}/{name}" for name in ("stage", "ingesting", "archive")}
    manifest = Path(tmp_path, "shop.manifest.json")
    manifest.write_text(json.dumps({"tables": tables, "areas": {**areas, "datasets": "{{SL_ROOT}}/datasets"}}))
    monkeypatch.setattr(store_areas, "import_module", found.import_module)
    found.manifest = str(manifest)

    def skip(reason: str) -> None:
        raise SkippedTask(reason)

    monkeypatch.setattr(cloud_load, "skip_task", skip)
    return found


def takes(*names: str, to: str = "archive") -> Callable[[Store], None]:
    """What a load does with files."""

    def work(store: Store) -> None:
        for name in names:
            store.move(name, "stage", "ingesting")
            if to == "archive":
                store.move(name, "ingesting", "archive")
            elif to == "nowhere":
                del store.objects[f"datasets/ingesting/sales/{name}"]

    return work


@pytest.mark.parametrize("root", STORES.values(), ids=STORES)
@pytest.mark.parametrize(
    ("files", "work", "expected"),
    [
        (["orders-1.csv"], takes("orders-1.csv"), "success"),
        (["orders-1.csv", "orders-2.csv"], takes("orders-1.csv", "orders-2.csv"), "success"),
        (["README"], None, "skipped"),
        (["items-1.csv"], None, "skipped"),
        (["orders-1.csv"], None, "orders-1.csv still in the area `stage`"),
        (["orders-1.csv"], takes("orders-1.csv", to="ingesting"), "orders-1.csv left in the area `ingesting`"),
        (["orders-1.csv"], takes("orders-1.csv", to="nowhere"), "unknown"),
        (["orders-1.csv", "orders-2.csv"], takes("orders-1.csv"), "orders-2.csv still in the area `stage`"),
    ],
)
def test_the_files_decide_where_the_command_ended_with_0(store, root, files, work, expected):
    for name in files:
        store.put(f"datasets/stage/sales/{name}")
    assert expected in Task(store, root).run(work)


def log_of(*lines: str) -> Callable[..., CommandEnd]:
    """The log of a command that ended with exit code 0, as `read_driver` reads it."""

    def read(context: Any, job: Any, expected: Any, repeated: Any) -> CommandEnd:
        parser = OutputParser(expected, repeated)
        events = [event for line in lines for event in parser.feed(line)]
        return CommandEnd((*events, *parser.finish(0)), CommandExit(0, 0.0), parser.log(lossless=False))

    return read


@pytest.mark.parametrize(
    ("files", "work", "expected"),
    [
        (["orders-1.csv"], takes("orders-1.csv"), "success"),
        ([], None, "skipped"),
        (["orders-1.csv"], takes("orders-1.csv", to="ingesting"), "orders-1.csv left in the area `ingesting`"),
    ],
)
@pytest.mark.parametrize("lines", [[], ["2025-03-10 INFO Main: Successfully load --domains sales"]])
def test_a_log_without_summaries_changes_no_result_of_the_files(store, files, work, expected, lines):
    for name in files:
        store.put(f"datasets/stage/sales/{name}")
    assert expected in Task(store, "gs://shop").run(work, log=log_of(*lines))


def test_files_decide_if_the_log_cannot_be_read(store, capsys):
    def read(*arguments: Any) -> CommandEnd:
        raise RuntimeError("403: no permission")

    store.put("datasets/stage/sales/orders-1.csv")
    assert Task(store, "gs://shop").run(takes("orders-1.csv"), log=read) == "success"
    assert "the log is not used, and the files determine the result: 403: no permission" in capsys.readouterr().out
    assert Task(store, "/mnt/shop").run(None, log=read) == "failed: 403: no permission"


@pytest.mark.parametrize("root", STORES.values(), ids=STORES)
def test_a_retry_that_finds_no_file_fails_until_the_file_of_the_first_try_is_archived(store, root):
    task = Task(store, root)
    store.put("datasets/stage/sales/orders-1.csv")
    assert task.run(takes("orders-1.csv", to="ingesting"), code=1) == "failed"
    for number in (2, 3):
        assert "orders-1.csv was taken by an earlier load" in task.run(None, number)
    store.move("orders-1.csv", "ingesting", "stage")
    assert task.run(takes("orders-1.csv"), 4) == "success"
    assert task.run(None, 5) == "skipped", "it was cleared after a success"


@pytest.mark.parametrize("root", STORES.values(), ids=STORES)
def test_a_command_that_failed_after_it_archived_its_files_is_a_success_in_the_retry(store, root):
    task = Task(store, root)
    store.put("datasets/archive/sales/orders-1.csv")
    store.put("datasets/stage/sales/orders-1.csv")
    assert task.run(takes("orders-1.csv"), code=1) == "failed"
    assert task.run(None, 2) == "success"


def test_a_retry_may_find_nothing_where_nothing_was_there_before(store):
    task = Task(store, "gs://shop")
    assert task.run(None, code=1) == "failed"
    assert task.run(None, 2) == "skipped"


def test_a_retry_that_loads_another_file_names_the_one_that_is_missing(store):
    task = Task(store, "gs://shop")
    store.put("datasets/stage/sales/orders-1.csv")
    task.run(takes("orders-1.csv", to="nowhere"), code=1)
    store.put("datasets/stage/sales/orders-2.csv")
    assert "orders-2.csv was loaded, and orders-1.csv was taken" in task.run(takes("orders-2.csv"), 2)


def test_a_new_file_of_the_same_name_overwrites_none(store):
    task = Task(store, "gs://shop")
    store.put("datasets/stage/sales/orders-1.csv")
    task.run(takes("orders-1.csv", to="ingesting"), code=1)
    store.put("datasets/stage/sales/orders-1.csv")
    assert "would overwrite it" in task.run(takes("orders-1.csv"), 2)
    assert "datasets/ingesting/sales/orders-1.csv" in store.objects


def test_a_batch_needs_all_of_its_files(store):
    task = Task(store, "gs://shop", "orders", "items")
    store.put("datasets/stage/sales/orders-1.csv")
    assert task.run(takes("orders-1.csv")) == "success"
    other = Task(store, "gs://shop", "orders", "items")
    for name in ("orders-2.csv", "items-2.csv"):
        store.put(f"datasets/stage/sales/{name}")

    def work(store: Store) -> None:
        takes("orders-2.csv")(store)
        takes("items-2.csv", to="ingesting")(store)

    found = other.run(work, 2)
    assert "items: failed" in found and "orders: " not in found


@pytest.mark.parametrize("root", ["/mnt/shop", "abfss://shop", ""])
def test_where_no_store_can_be_listed_exit_code_0_counts_in_the_first_try_alone(store, root, capsys):
    task = Task(store, root)
    assert task.run(None) == "success"
    assert "exit code 0 is the only evidence" in capsys.readouterr().out
    assert "sales.orders: unknown" in task.run(None, 2)


def test_without_a_record_a_retry_is_unknown(store):
    task = Task(store, "gs://shop")
    store.read_only = True
    assert "the record of this try" in task.run(None)
    store.read_only = False
    assert "left no record" in task.run(None, 2)


def test_only_files_of_the_tables_patterns_are_waited_for(store):
    store.put("in/sales/README")
    store.put("in/sales/deeper/orders-1.csv")
    for root in STORES.values():
        assert not store_areas.files_in_store(f"{root}/in/sales", ["orders-.*.csv"])
    store.put("in/sales/orders-1.csv")
    for root in STORES.values():
        assert store_areas.files_in_store(f"{root}/in/sales/", ["items-.*.csv", "orders-.*.csv"])


def test_a_file_is_waited_for_until_its_ack_file_is_next_to_it(store):
    patterns, acks = ["orders.*", "items-.*.csv"], ["ack", ""]
    store.put("in/sales/orders-1.csv")
    store.put("in/sales/orders-0.ack")  # the pattern matches an ack file, too
    for root in STORES.values():
        assert not store_areas.files_in_store(f"{root}/in/sales", patterns, acks)
    store.put("in/sales/orders-1.ack")
    for root in STORES.values():
        assert store_areas.files_in_store(f"{root}/in/sales", patterns, acks)


def test_the_window_of_the_run_travels_with_the_event_of_a_load(store, monkeypatch):
    told: list[Any] = []
    monkeypatch.setattr(cloud_load, "emit_load_window", told.append)
    store.put("datasets/stage/sales/orders-1.csv")
    assert Task(store, "gs://shop").run(takes("orders-1.csv")) == "success"
    assert len(told) == 1
