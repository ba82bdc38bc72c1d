"""A real `dagster dev` (webserver and daemon) and what its GraphQL says: for tests/system only."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes.servers import ended

__all__ = ["DagsterDev"]

T = TypeVar("T")

_LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status eventConnection(limit: 2000) { events {
  __typename
  ... on MessageEvent { message level }
  ... on MaterializationEvent { assetKey { path } }
  ... on ObservationEvent { assetKey { path } description }
  ... on AssetCheckEvaluationEvent { evaluation { assetKey { path } checkName success description
    metadataEntries { label ... on MarkdownMetadataEntry { mdStr } } } }
  ... on ExecutionStepFailureEvent { stepKey error { message }
    failureMetadata { metadataEntries { label ... on TextMetadataEntry { text } } } }
} } } } }"""
_TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


class DagsterDev:
    """The server.

    Args:
        work: Where `workspace.yaml` is.
        environ: Its environment.
    """

    def __init__(self, work: Path, environ: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = work / "dagster_dev.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)],
                cwd=work,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._until("the server", self._answers)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server and all that it started."""
        ended(self._process)

    def launch(
        self, assets: Sequence[str] = (), checks: Sequence[tuple[str, str]] = (), location: str = "starbake"
    ) -> str:
        """Starts a run of assets, or of checks alone, and returns its id."""
        selector: dict[str, Any] = {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
        }
        if checks:
            selector["assetCheckSelection"] = [{"assetKey": {"path": a.split("/")}, "name": name} for a, name in checks]
        params = {"selector": selector, "mode": "default", "runConfigData": {}}
        launched = self.query(_LAUNCH, params=params)["launchPipelineExecution"]
        assert "run" in launched, launched
        return launched["run"]["runId"]

    def terminate(self, run: str) -> None:
        """Asks for the end of a run, as the button of the UI does."""
        assert self.query(_TERMINATE, id=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def run(self, run: str) -> tuple[str, list[dict[str, Any]]]:
        """Status and events of a run so far."""
        found = self.query(_RUN, id=run)["runOrError"]
        return found["status"], found["eventConnection"]["events"]

    def ended(self, run: str) -> tuple[str, list[dict[str, Any]]]:
        """Status and events of a run once it has ended."""

        def look() -> tuple[str, list[dict[str, Any]]] | None:
            status, events = self.run(run)
            return (status, events) if status in _ENDED else None

        return self._until(f"the end of run {run}", look)

    def newest_run(self) -> str:
        """The id of the run that was started last, once there is one."""

        def look() -> str | None:
            found = self.query("query { runsOrError(limit: 1) { ... on Runs { results { runId } } } }")
            runs = found["runsOrError"]["results"]
            return runs[0]["runId"] if runs else None

        return self._until("a run", look)

    def loaded(self, asset: str) -> None:
        """Returns once the code location has told the server of an asset."""

        def look() -> bool:
            nodes = self.query("query { assetNodes { assetKey { path } } }")["assetNodes"]
            return asset.split("/") in [node["assetKey"]["path"] for node in nodes]

        self._until(f"the asset {asset}", look)

    def said(self, run: str, words: str) -> None:
        """Returns once an event of a run holds some words."""

        def look() -> bool:
            status, events = self.run(run)
            assert status not in _ENDED, f"the run is {status} and never said {words!r}"
            return any(words in (event.get("message") or "") for event in events)

        self._until(words, look)

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL query."""
        body = json.dumps({"query": text, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        assert not told.get("errors"), told["errors"]
        return told["data"]

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _until(self, what: str, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.1)
        raise AssertionError(f"{what}: not seen within two minutes\n{self._log.read_text()[-4000:]}")
