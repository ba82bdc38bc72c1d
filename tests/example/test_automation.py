"""The example by its sensors alone: files are delivered, and everything follows."""

from __future__ import annotations

import time
from collections import Counter

import dagster as dg
import pytest

from tests.example.conftest import Daemon

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) experimental")


def test_files_start_loads_and_loads_start_what_reads_them(copy, module_of, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(copy / "cache"))
    module_of(copy / "deliver.py").deliver("1", reset=True)
    location = module_of(copy / "definitions.py")
    with dg.instance_for_test() as instance:
        daemon = Daemon(location.defs, instance)
        now, delivered = time.time, time.time()
        with monkeypatch.context() as stopped:  # a slow machine must not let the files come to rest within the round
            stopped.setattr(time, "time", lambda: delivered)
            assert not daemon.round(), "the files are not yet at rest"
        monkeypatch.setattr(time, "time", lambda: now() + 60)
        daemon.rest()
    keys = [key for _, keys in daemon.runs for key in keys]
    graph = location.project.graph
    nodes = {"/".join(node.key): 1 for node in graph.nodes.values() if node.kind != "external"}
    assert Counter(key for key in keys if key != "weekly_report") == nodes
    assert keys[-1] == "weekly_report"
