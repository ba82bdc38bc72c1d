"""The alert of the docs, against a server that takes what Slack would."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeMetadata, build_starlake_assets
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake
from tests.docs.blocks import ROOT, blocks


@pytest.fixture
def slack(monkeypatch):
    taken = []

    class Slack(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Slack)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SLACK_WEBHOOK", f"http://127.0.0.1:{server.server_port}/")
    yield taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_alert_says_what_failed_and_why(slack, sales, instance):
    code = next(block.text for block in blocks(ROOT / "docs" / "schedules.md") if "run_failure_sensor" in block.text)
    names: dict = {"__name__": "block"}
    exec(compile(code, "block.py", "exec"), names)

    def script(command):
        failing = command.name == "transform" and command.args[1] == "kpi.revenue"
        return Script(["ERROR Main: Catalog Error: no table sales.order"], 1) if failing else None

    runner = FakeRunner(script)
    defs = dg.Definitions(
        assets=build_starlake_assets(sales, metadata=StarlakeMetadata(row_counts=False, columns=False)),
        resources={"starlake": fake_starlake(runner)},
        jobs=[dg.define_asset_job("nightly", selection=dg.AssetSelection.groups("kpi"))],
    )
    result = defs.get_repository_def().get_job("nightly").execute_in_process(instance=instance, raise_on_error=False)
    failure = next(event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        "starlake_alerts",
        dagster_event=failure,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    names["starlake_alerts"](context)
    (message,) = slack
    text = message["text"]
    assert text.startswith(f"*nightly* failed (run `{result.run_id}`)\n*kpi.revenue*\n```kpi.revenue failed:")
    assert "Catalog Error: no table sales.order" in text
    assert "metadata/transform/kpi/revenue.sql:1" in text and "transform --name kpi.revenue" in text
    assert "*kpi.summary*\n```kpi.summary skipped" in text
