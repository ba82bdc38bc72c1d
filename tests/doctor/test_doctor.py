"""`starlake-dagster doctor` on what is there and on what is not."""

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.script import Scripted

APPLICATION = """version: 1
application:
  connectionRef: warehouse
  connections:
    warehouse:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/x.db"}
    crm:
      type: jdbc
      options: {url: "jdbc:postgresql://crm/x", user: sl, password: s3cr3t-pass}
"""


@pytest.fixture
def project(tmp_path):
    metadata = tmp_path / "project" / "metadata"
    (metadata / "transform" / "kpi").mkdir(parents=True)
    (metadata / "application.sl.yml").write_text(APPLICATION)
    (metadata / "transform" / "kpi" / "one.sql").write_text("select 1 as n")
    return metadata.parent


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted")


@pytest.fixture
def java(tmp_path):
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "java"
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return home


def doctor(*args: str, **environ: str):
    """Exit code, findings by topic, and all that was printed."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("SL_", "DAGSTER"))}
    argv = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()", "doctor", *args, "--json"]
    done = subprocess.run(argv, env={**base, **environ}, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    findings = {finding["topic"]: finding for finding in json.loads(done.stdout)}
    return done.returncode, findings, done.stdout + done.stderr


def test_all_is_well(project, scripted, java, tmp_path):
    home = str(tmp_path)
    code, found, _ = doctor(
        str(project), **scripted.environ, SL_STARLAKE_PATH=str(scripted.path), JAVA_HOME=str(java), DAGSTER_HOME=home
    )
    assert code == 0, found
    assert found["starlake"]["text"].startswith("1.6.0 (")
    assert found["java"]["text"].startswith("17.0.15")
    assert found["project"]["text"] == "0 tables, 1 task"
    assert found["connection warehouse"]["text"] == found["connection crm"]["text"] == "opens"
    assert found["DAGSTER_HOME"]["level"] == "ok"


def test_what_the_version_can_do(project, scripted, java):
    place = {**scripted.environ, "SL_STARLAKE_PATH": str(scripted.path), "JAVA_HOME": str(java)}
    found = doctor(str(project), **place)[1]
    assert [found[f"feature {name}"]["text"].partition(":")[0] for name in ("stage", "console")] == ["there", "there"]
    assert found["feature notReadySentinel"]["text"].startswith("there")
    scripted.tell(console=False, without=["stage", "--notReadySentinel"])
    found = doctor(str(project), **place)[1]
    assert found["feature stage"]["level"] == "warning" and "stage_command='import'" in found["feature stage"]["advice"]
    assert found["feature console"]["text"].startswith("not there")
    assert found["feature notReadySentinel"]["text"].startswith("not there")


def test_what_the_program_finds_wrong_in_the_project(project, scripted, java):
    scripted.tell(validate=["SUCCESS: Connection crm is valid", "Found 2 errors", "table a: s3cr3t-pass is no type"])
    place = {**scripted.environ, "SL_STARLAKE_PATH": str(scripted.path), "JAVA_HOME": str(java)}
    code, found, printed = doctor(str(project), **place)
    assert code == 1
    assert found["starlake validate"]["text"] == "Found 2 errors table a: *** is no type"
    assert found["connection crm"]["text"] == found["connection warehouse"]["text"] == "opens"
    assert [call.argv[-1] for call in scripted.calls("settings") if len(call.argv) > 1] == ["warehouse"]
    assert "s3cr3t-pass" not in printed


def test_an_old_java_is_said(project, java):
    (java / "bin" / "java").write_text("#!/bin/sh\necho 'java version \"1.8.0_202\"' >&2\n")
    found = doctor(JAVA_HOME=str(java), PATH="/nowhere")[1]
    assert (found["java"]["level"], found["java"]["text"].split()[0]) == ("warning", "1.8.0_202")
    assert "17 or later" in found["java"]["advice"]


def test_a_connection_that_does_not_open_is_an_error_without_its_password(project, scripted, java):
    scripted.tell(connections={"crm": "FATAL: password s3cr3t-pass is wrong for sl"})
    code, found, printed = doctor(
        str(project), **scripted.environ, SL_STARLAKE_PATH=str(scripted.path), JAVA_HOME=str(java)
    )
    assert code == 1
    assert found["connection crm"]["level"] == "error"
    assert "***" in found["connection crm"]["text"]
    assert "s3cr3t-pass" not in printed


def test_nothing_is_there(tmp_path):
    code, found, _ = doctor(
        PATH="/nowhere", DAGSTER_HOME=str(tmp_path / "none"), SL_HTTP_PORT="1", SL_LOG_LEVEL="error"
    )
    assert code == 1
    assert found["starlake"]["level"] == "warning"
    assert "embedded engine needs none" in found["starlake"]["advice"]
    assert found["java"]["text"] == "not found (PATH)"
    assert found["DAGSTER_HOME"]["level"] == "error"
    assert {"SL_HTTP_PORT", "SL_LOG_LEVEL"} <= set(found)


def test_a_broken_project_is_one_line(tmp_path):
    code, found, _ = doctor(str(tmp_path), PATH="/nowhere")
    assert code == 1
    assert found["project"]["level"] == "error"
    assert "starlake-dagster check" in found["project"]["advice"]


def test_a_program_that_fails_is_said(project, tmp_path, java):
    broken = tmp_path / "starlake"
    broken.write_text("#!/bin/sh\necho 'Error: could not find or load main class' >&2\nexit 1\n")
    broken.chmod(0o755)
    code, found, _ = doctor(str(project), "--starlake", str(broken), JAVA_HOME=str(java))
    assert code == 1
    assert "could not find or load main class" in found["starlake"]["text"]
