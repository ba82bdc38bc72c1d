"""Files on object stores: the real s3fs and gcsfs against local fakes, and fsspec's own memory file system."""

from __future__ import annotations

import os
from functools import partial

import fsspec
import pytest

from starlake_dagster_assets.automation.file_arrivals.directory_scan import FileMatcher
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.execution.file_store import Store, StoreError, content_of, mark_of
from tests.automation.file_arrivals.conftest import sales_in, tables
from tests.fakes.gcs import FakeGcs
from tests.fakes.growth import calls
from tests.fakes.s3 import FakeS3

OTHERS_OWN = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
pytestmark = OTHERS_OWN


@pytest.fixture
def s3():
    with FakeS3("box") as fake:
        yield fake


def options(fake: FakeS3) -> dict:
    return {"s3": {"endpoint_url": fake.url, "key": "k", "secret": "s", "client_kwargs": {"region_name": "eu-west-3"}}}


def on_s3(world, s3, tmp_path, **pre_load):
    given = PreLoad(**{"strategy": "imported", "storage_options": options(s3), **pre_load})
    return world(given, source=sales_in("s3a://box/in/sales", str(tmp_path)))


def test_files_of_s3_by_its_spark_name(world, s3, tmp_path):
    here = on_s3(world, s3, tmp_path)
    assert "there is no directory s3a://box/in/sales" in here.tick()
    s3.put("box", "in/sales/orders_1.csv")
    s3.put("box", "in/sales/deeper/items_1.csv")
    s3.put("box", "in/sales/")
    s3.put("box", "in/salesmen/items_1.csv")
    (request,) = here.settled()
    assert tables(request) == ["orders"]
    here.ended(here.accept(request))
    assert "which succeeded and left it there" in here.tick()
    s3.put("box", "in/sales/orders_1.csv")
    (again,) = here.settled()
    assert again.run_key != request.run_key, "the same bytes put there anew are another set"


def test_a_file_of_s3_that_is_still_growing_is_waited_for(world, s3, tmp_path, clock):
    here = on_s3(world, s3, tmp_path)
    clock.now = 1_600_000_000  # before the store's own clock, whose times of writing then tell nothing
    for size in (1, 2, 3):
        s3.put("box", "in/sales/orders_1.csv", b"x" * size)
        assert "new or still changing" in here.tick()
        clock.wait(600)
    assert isinstance(here.tick(), list)


def test_an_ack_file_of_s3_is_deleted_once_its_run_has_succeeded(world, s3, tmp_path):
    here = on_s3(world, s3, tmp_path, strategy="ack", global_ack_file_path="s3://box/{domain}.ack")
    s3.put("box", "in/sales/orders_1.csv")
    reason = "ack file s3://box/sales.ack: it is not there; orders_1.csv in s3a://box/in/sales waits for it."
    assert here.tick() == reason
    s3.put("box", "sales.ack", b"")
    (request,) = here.tick()
    assert tables(request) == ["orders"]
    assert "sales.ack" in s3.objects["box"]
    here.ended(here.accept(request))
    here.tick()
    assert "sales.ack" not in s3.objects["box"]


def test_a_bucket_that_is_not_there_is_no_empty_directory(world, s3, tmp_path):
    here = on_s3(world, s3, tmp_path)
    s3.objects.clear()
    with pytest.raises(StoreError, match="s3a://box/in/sales: the bucket or container box is not there"):
        here.tick()


def test_a_refused_listing_is_a_failed_tick(world, s3, tmp_path):
    here = on_s3(world, s3, tmp_path)
    s3.refuses = "AccessDenied"
    with pytest.raises(StoreError, match="s3a://box/in/sales cannot be looked at: PermissionError"):
        here.tick()


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch):
    import time

    store = Store(seconds=0.05)
    monkeypatch.setattr(store, "_remote_listing", lambda place: time.sleep(2))
    with pytest.raises(StoreError, match=r"gs://box/in: no answer in 0.05 s."):
        store.listing("gs://box/in")


def test_a_local_file_is_told_the_same_alone_and_in_its_directory(tmp_path):
    (tmp_path / "orders_1.csv").write_bytes(b"1")
    (tmp_path / "orders_2.csv").write_bytes(b"22")
    listing = Store().listing(str(tmp_path))
    (tmp_path / "orders_2.csv").unlink()
    file = Store().file(str(tmp_path / "orders_1.csv"))
    seen = (tmp_path / "orders_1.csv").stat()
    assert file.size == 1 and file.stamp == (seen.st_mtime_ns, seen.st_ino, seen.st_ctime_ns)
    assert listing.marks(listing.names) == {"orders_1.csv": mark_of(file)}


def test_a_look_at_a_directory_calls_nothing_a_file(tmp_path):
    watched = FileMatcher({table.id: table for table in sales_in(str(tmp_path)).model.domains[0].tables})

    def scan(files):
        folder = tmp_path / str(files)
        folder.mkdir(exist_ok=True)
        for number in range(files):
            (folder / f"orders_{number}.csv").touch()
        (seen,) = watched.scan(0, Store().listing(str(folder))).sets.values()
        assert len(seen.names) == files
        return calls(lambda: watched.scan(0, Store().listing(str(folder))))

    assert scan(500) < scan(100) + 20


def test_files_of_cloud_storage(monkeypatch):
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it asks over gRPC what kind of bucket this is
    objects = {"box/in/sales/orders_1.csv": b"1", "box/in/sales/items_1.csv": b"22"}
    fake = FakeGcs(lambda: objects)
    try:
        store = Store({"gs": {"endpoint_url": fake.url, "token": "anon", "project": "p"}})
        listing = store.listing("gs://box/in/sales")
        sizes = {name: mark.partition("\0")[0] for name, mark in listing.marks(listing.names).items()}
        assert sizes == {"items_1.csv": "2", "orders_1.csv": "1"}
    finally:
        fake.close()


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.makedirs("/in/sales", exist_ok=True)
    yield system
    system.rm("/", recursive=True)


def test_any_other_file_system_that_fsspec_knows(world, memory, tmp_path):
    here = world(source=sales_in("memory://in/sales", str(tmp_path)))
    memory.pipe("/in/sales/orders_1.csv", b"1")
    (request,) = here.settled()
    assert tables(request) == ["orders"]


def test_a_file_is_consumed_unless_it_is_a_newer_one(memory, tmp_path):
    store = Store()
    memory.pipe("/in/go", b"")
    for path in ("memory://in/go", str(tmp_path / "go"), f"file://{tmp_path}/go"):
        write = partial(memory.pipe, "/in/go") if path.startswith("memory") else (tmp_path / "go").write_bytes
        write(b"1")
        seen = content_of(store.file(path))
        write(b"22")
        assert store.consume(path, seen) is False
        assert store.consume(path, content_of(store.file(path))) is True
        assert store.file(path) is None
        assert store.consume(path, seen) is True, "what has gone is consumed"


def test_a_consumption_that_was_interrupted_is_finished(tmp_path):
    store, go = Store(), tmp_path / "go"
    go.write_text("1")
    seen = content_of(store.file(str(go)))
    real = os.rename
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", lambda *args: (real(*args), (_ for _ in ()).throw(KeyboardInterrupt))[0])
        with pytest.raises(KeyboardInterrupt):
            store.consume(str(go), seen)
    go.write_text("a newer one")
    assert store.consume(str(go), seen) is False
    assert go.read_text() == "a newer one"
    assert [path.name for path in tmp_path.iterdir()] == ["go"]
