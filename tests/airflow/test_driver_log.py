"""Commands on Dataproc: the output of the driver decides, by the rules of Dagster steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.airflow.runtime import cloud_load, driver_log
from starlake_dagster_assets.airflow.runtime.cloud_load import end_load
from starlake_dagster_assets.airflow.runtime.driver_log import end_driver

MOMENT = "2025-03-10 05:00:00"
SUCCESS = [f"{MOMENT} INFO  Main: Successfully transform --name kpi.sums"]
ENV = {"SL_ROOT": "/mnt/shop", "STARLAKE_EXPORT": ""}
MANIFEST = {"tables": {"sales/orders": {"domain": "sales", "name": "orders", "pattern": r".*\.csv"}}}


class SkippedTask(Exception): ...


class Dataproc:
    """A service with one job, whose driver wrote its output in parts, and the bucket of the output."""

    def __init__(self, *reads: Sequence[str]) -> None:
        self.reads = [*reads]
        self.pauses = 0
        self.accounts: list[Any] = []
        self.uri = "gs://staging/jobs/one/driveroutput"
        self.error: Exception | None = None

    def import_module(self, name: str) -> Any:
        def hook(**account: Any) -> Dataproc:
            self.accounts.append(account)
            return self

        return SimpleNamespace(DataprocHook=hook, GCSHook=hook)

    def sleep(self, seconds: float) -> None:
        self.pauses += 1

    def get_job(self, *, job_id: str, project_id: str, region: str) -> Any:
        assert (job_id, project_id, region) == ("job-1", "mine", "europe-west1")
        return SimpleNamespace(driver_output_resource_uri=self.uri)

    def get_conn(self) -> Dataproc:
        return self

    def list_blobs(self, bucket: str, *, prefix: str) -> list[Any]:
        assert (bucket, prefix) == ("staging", "jobs/one/driveroutput")
        if self.error is not None:
            raise self.error
        lines = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        data = "".join(f"{line}\n" for line in lines).encode()
        half = len(data) // 2
        parts = {"driveroutput.000000001": data[half:], "driveroutput.000000000": data[:half]}
        return [
            SimpleNamespace(name=f"{prefix}/{name}", download_as_bytes=lambda part=part: part)
            for name, part in parts.items()
        ]


def context(number: int = 1) -> dict[str, Any]:
    one = SimpleNamespace(dag_id="d", task_id="t", map_index=-1, try_number=number)
    one.xcom_pull = one.xcom_push = lambda **_: None
    task = SimpleNamespace(
        task_id="kpi_sums_task",
        outlets=[],
        upstream_task_ids=[],
        gcp_conn_id="google",
        impersonation_chain="robot@mine",
        project_id="mine",
        region="europe-west1",
        render_template=lambda text, context: text,
    )
    moment = SimpleNamespace(astimezone=lambda zone: SimpleNamespace(strftime=lambda codes: "now"))
    dag = SimpleNamespace(dag_id="d", timezone="UTC", timetable=None)
    return {"ti": one, "task": task, "run_id": "r", "dag": dag, "dag_run": SimpleNamespace(run_after=moment, conf={})}


@pytest.fixture
def serve(monkeypatch, tmp_path):
    (tmp_path / "shop.manifest.json").write_text(json.dumps(MANIFEST))
    monkeypatch.setitem(ENV, "STARLAKE_EXPORT", str(tmp_path / "shop.manifest.json"))

    def start(*reads: Sequence[str]) -> Dataproc:
        service = Dataproc(*reads)
        monkeypatch.setattr(driver_log, "import_module", service.import_module)
        monkeypatch.setattr(driver_log.time, "sleep", service.sleep)
        monkeypatch.setattr(driver_log, "emit_window", lambda context: None)
        monkeypatch.setattr(cloud_load, "emit_load_window", lambda context: None)

        def skip(reason: str) -> None:
            raise SkippedTask(reason)

        monkeypatch.setattr(cloud_load, "skip_task", skip)
        return service

    return start


def load(number: int = 1) -> str:
    """The state of a load of `sales.orders` whose files Airflow cannot list."""
    try:
        end_load(ENV, "sales", "orders", log=driver_log.read_driver)(context(number), "job-1")
    except SkippedTask:
        return "skipped"
    except RuntimeError as error:
        return str(error)
    return "success"


def log_of_load(*files: str, loaded: Sequence[str] = (), ended: bool = True) -> list[str]:
    """The lines of a load that finds some files and loads some of them."""
    infos = ",".join(f"FileInfo(hdfs://mnt/shop/stage/sales/{name},13,2025-03-10T04:00:00Z)" for name in files)
    found = f"Found {infos}" if files else "No Files Found."
    lines = ["noise of Spark", f"{MOMENT} INFO  IngestionWorkflow: {found}"]
    if files:
        announced = f"Ingest resolved file : {','.join(files)} as table sales.orders"
        lines.append(f"{MOMENT} INFO  IngestionWorkflow: {announced}")
    lines += [
        f"{MOMENT} INFO  DsvIngestionJob: ingestion-summary -> files: [hdfs://mnt/shop/ingesting/sales/{name}], "
        "domain: sales, schema: orders, input: 2, accepted: 2, rejected:0"
        for name in loaded
    ]
    return [*lines, f"{MOMENT} INFO  Main: Successfully load --domains sales"] if ended else lines


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        (log_of_load("a.csv", loaded=["a.csv"]), "success"),
        (log_of_load("a.csv", "b.csv", loaded=["a.csv", "b.csv"]), "success"),
        (log_of_load(), "skipped"),
        (log_of_load("a.csv", "b.csv", loaded=["a.csv"]), "orders: unknown: "),
        (log_of_load("a.csv"), "orders: unknown: "),
        (log_of_load("a.csv", loaded=["a.csv"], ended=False), "orders: unknown: "),
        (["noise of Spark"], "orders: unknown: "),
        ([], "orders: unknown: "),
    ],
)
def test_the_output_decides_a_load_whose_files_airflow_cannot_list(serve, lines, state):
    serve(lines)
    assert load().startswith(state)


def test_a_retry_of_a_load_whose_files_airflow_cannot_list_is_unknown(serve):
    serve(log_of_load("a.csv", loaded=["a.csv"]))
    assert load(2).startswith("sales.orders: unknown: this try ended with exit code 0")


def test_a_load_whose_output_cannot_be_read_is_unknown(serve):
    serve(log_of_load()).uri = ""
    assert "unknown: the output of the driver of job job-1 cannot be read: " in load()


def test_a_transform_succeeds_if_its_driver_reports_success(serve):
    service = serve(SUCCESS)
    end_driver(context(), "job-1")
    assert service.accounts == [{"gcp_conn_id": "google", "impersonation_chain": "robot@mine"}] * 2
    assert service.pauses == 0


def test_the_last_lines_of_a_driver_are_waited_for(serve):
    service = serve([], ["noise of Spark"], SUCCESS)
    end_driver(context(), "job-1")
    assert service.pauses == 2


@pytest.mark.parametrize("lines", [[], ["noise of Spark", f"{MOMENT} INFO  SparkContext: Running Spark version 3.5"]])
def test_exit_code_0_without_a_reported_success_fails(serve, lines):
    serve(lines)
    with pytest.raises(RuntimeError, match="kpi_sums_task: unknown: "):
        end_driver(context(), "job-1")


def test_output_that_cannot_be_read_fails(serve):
    service = serve(SUCCESS)
    service.error = PermissionError("403: no storage.objects.list")
    with pytest.raises(RuntimeError, match=r"unknown: the output of the driver of job job-1 cannot be read: 403"):
        end_driver(context(), "job-1")
