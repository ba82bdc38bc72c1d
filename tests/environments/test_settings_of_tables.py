"""Settings of single tables that an environment rejects: errors when definitions load, in `check` and in `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeCloudRun,
    StarlakeDataproc,
    StarlakeDuckDB,
    StarlakeKubernetes,
    StarlakeProject,
    StarlakeShell,
    StarlakeTranslator,
    build_definitions,
)
from starlake_dagster_assets.checking.project_check import check_project
from starlake_dagster_assets.cli import main
from starlake_dagster_assets.cli.run import validate_settings
from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.environments import ExecutionEnvironment, InvalidSetting, NodeSettings
from starlake_dagster_assets.errors import PluginError, ProjectError
from starlake_dagster_assets.resources import DataprocServerless, StarlakeResource
from tests.conformance.subject import SECRET, write_project

FILE = "metadata/load/sales/orders.sl.yml"


def project_with(tmp_path: Path, *tags: str, **arguments: Any) -> StarlakeProject:
    root = write_project(tmp_path / "project")
    path = root / FILE
    lines = "".join(f"    - '{tag}'\n" for tag in tags)
    path.write_text(path.read_text().replace("  name:", f"  tags:\n{lines}  name:", 1))
    return StarlakeProject(root, cache_dir=tmp_path / "cache", **arguments)


def kubernetes(**fields: Any) -> StarlakeKubernetes:
    return StarlakeKubernetes(image="starlake:1.6.0", **fields)


def dataproc(**fields: Any) -> StarlakeDataproc:
    return StarlakeDataproc(project="p", jars=["gs://b/starlake.jar"], **fields)


def batches() -> StarlakeDataproc:
    return dataproc(serverless=DataprocServerless())


def shell() -> StarlakeShell:
    return StarlakeShell(env={"SPARK_MASTER_URL": "spark://host:7077"})


LIMITED = {"resources": {"limits": {"cpu": "1", "memory": "4Gi"}}}
CONFIG = "dagster-k8s/config="
INVALID = {
    "a word": (kubernetes(), "kubernetes_cpu=banana", "the tag `kubernetes_cpu`: found 'banana', expected a quantity"),
    "no value": (kubernetes(), "kubernetes_memory=", "the tag `kubernetes_memory`: found '', expected a quantity"),
    "a negative number": (kubernetes(), "kubernetes_cpu=-1", "found '-1', expected a quantity"),
    "no JSON": (kubernetes(), f"{CONFIG}big", "dagster-k8s/config: expected a JSON object, found 'big'"),
    "a field": (
        kubernetes(),
        f'{CONFIG}{{"pod_spec_config": {{"nodeSelectr": {{}}}}}}',
        "pod_spec_config.nodeSelectr: Kubernetes has no such field; did you mean `nodeSelector`?",
    ),
    "a secret": (
        kubernetes(),
        f'{CONFIG}{{"container_config": {{"env": [{{"name": "A", "value": "{SECRET}"}}]}}}}',
        "dagster-k8s/config has a secret",
    ),
    "a limit below": (kubernetes(**LIMITED), "kubernetes_cpu=2", "limits[cpu] is 1, less than the request 2"),
    "a limit below, in raw configuration": (
        kubernetes(k8s_config={"container_config": LIMITED}),
        "kubernetes_cpu=2",
        "limits[cpu] is 1, less than the request 2",
    ),
    "memory of Spark": (
        kubernetes(),
        "spark_executor_memory=8 GiB",
        "the tag `spark_executor_memory`: found '8 GiB', expected a whole number and a unit, such as `8g`",
    ),
    "cores of Spark": (dataproc(), "spark_executor_cores=many", "found 'many', expected a whole number"),
    "cores of a batch": (batches(), "spark_executor_cores=5", "found '5', Dataproc Serverless allows 4, 8 or 16"),
    "words for the launcher": (
        shell(),
        "spark.app.name=my job",
        "`spark.app.name`: Starlake's launcher splits",
    ),
    "a secret of Spark": (
        dataproc(),
        "spark.hadoop.password=abcdefg",
        "password`: it looks like a secret",
    ),
}
"""Resource, tag and message."""


@pytest.mark.parametrize("case", INVALID)
def test_a_tag_that_is_not_valid(case: str, tmp_path: Path):
    resource, tag, message = INVALID[case]
    project = project_with(tmp_path, "nightly", tag)
    with pytest.raises(ProjectError) as error:
        build_definitions(project, starlake=resource)
    line = 1 + (project.root / FILE).read_text().split("\n").index(f"    - '{tag}'")
    assert f"{FILE}:{line}: sales.orders: " in str(error.value) and message in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("case", INVALID)
def test_doctor_names_the_setting(case: str, tmp_path: Path):
    resource, tag, message = INVALID[case]
    found = next(examine_environment(resource, project_with(tmp_path, tag)))
    assert (found.level, found.topic) == ("error", "settings") and message in found.text


VALID = {
    "requests": (kubernetes(**LIMITED), "kubernetes_cpu=500m"),
    "a limit of its own": (kubernetes(**LIMITED), "kubernetes_memory=16Gi"),
    "a limit that is a variable": (
        kubernetes(resources={"limits": {"cpu": dg.EnvVar("CPU_LIMIT")}}),
        "kubernetes_cpu=2",
    ),
    "replaced resources": (
        kubernetes(**LIMITED),
        CONFIG + '{"merge_behavior": "SHALLOW", "container_config": {"resources": {"requests": {"cpu": "2"}}}}',
    ),
    "cores of a cluster": (dataproc(), "spark_executor_cores=5"),
    "words without the launcher": (dataproc(), "spark.app.name=my job"),
    "words without a cluster": (StarlakeShell(), "spark.app.name=my job"),
    "an environment without settings": (StarlakeCloudRun(project="p", job="j"), "kubernetes_cpu=banana"),
    "the embedded engine": (StarlakeDuckDB(), "kubernetes_cpu=banana"),
    "memory of Spark": (kubernetes(), "spark_executor_memory=8G"),
}


@pytest.mark.parametrize("case", VALID)
def test_a_tag_that_is_valid(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SPARK_MASTER_URL", raising=False)
    resource, tag = VALID[case]
    build_definitions(project_with(tmp_path, tag), starlake=resource)


def test_only_the_tables_of_a_resource_are_examined(tmp_path: Path):
    project = project_with(tmp_path, "kubernetes_cpu=banana")
    build_definitions(project, starlake=kubernetes(), environments={"sales.orders": StarlakeDuckDB()})
    with pytest.raises(ProjectError, match="banana"):
        build_definitions(project, environments={"sales.orders": kubernetes()})
    build_definitions(project, starlake=kubernetes(), exclude="sales.orders")


def test_a_project_that_skips_errors_is_built_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("WARNING"):
        build_definitions(project_with(tmp_path, "kubernetes_cpu=banana", on_error="skip"), starlake=kubernetes())
    assert "error (invalid-setting)" in caplog.text and "banana" in caplog.text


def test_tags_without_effect_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tags = ("kubernetes_cpu=1", "kubernetes_mem=8Gi", "kubernetes_gpu=1", "kubernetes_memory")
    project = project_with(tmp_path, *tags)
    with caplog.at_level("WARNING"):
        build_definitions(project, starlake=kubernetes())
    assert "3 warnings (ignored-setting), the first: " in caplog.text
    found = [str(one) for one in check_project(project.root).problems if one.code == "ignored-setting"]
    assert [one.partition("ignores the tag ")[2].partition(";")[0] for one in found] == [
        "`kubernetes_mem` (did you mean `kubernetes_memory=…`?)",
        "`kubernetes_gpu` (did you mean `kubernetes_cpu=…`?)",
        "`kubernetes_memory` (did you mean `kubernetes_memory=…`?)",
    ]


def test_check_names_the_line_of_a_tag(tmp_path: Path):
    project = project_with(tmp_path, "kubernetes_cpu=banana", "spark_executor_memory=many", "spark.app.name=my job")
    found = [one for one in check_project(project.root).problems if one.code == "invalid-setting"]
    lines = (project.root / FILE).read_text().split("\n")
    assert [lines[(one.line or 0) - 1].strip() for one in found] == [
        "- 'kubernetes_cpu=banana'",
        "- 'spark_executor_memory=many'",
    ], "each once; an environment with Starlake's launcher may not be in use"
    assert all(one.severity == "error" and one.file == FILE for one in found)


def test_run_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    project = project_with(tmp_path, "kubernetes_cpu=banana")
    argv = ["starlake-dagster", "run", str(project.root), "--environment", "kubernetes", "--set", "image=i"]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code not in (0, None)
    assert f"{FILE}:4: sales.orders: the tag `kubernetes_cpu`: found 'banana'" in capsys.readouterr().err


def test_run_names_a_tag_without_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    project = project_with(tmp_path, "kubernetes_gpu=1")
    validate_settings(project, list(project.graph.nodes.values()), "kubernetes", kubernetes())
    assert f"warning: {FILE}:4: sales.orders: StarlakeKubernetes ignores the tag" in capsys.readouterr().err


class Translator(StarlakeTranslator):
    def get_environment_config(self, node: Any) -> Mapping[str, Any]:
        return {"container_config": {"imag": "x"}} if node.id == "sales.orders" else {}

    def get_spark_config(self, node: Any) -> Mapping[str, str]:
        return {"spark.executor.memory": "many"}


def test_settings_of_the_translator(tmp_path: Path):
    project = project_with(tmp_path, "spark_executor_memory=8g")
    with pytest.raises(ProjectError) as error:
        build_definitions(project, starlake=kubernetes(), translator=Translator())
    assert "sales.orders: get_environment_config.container_config.imag: Kubernetes has no such field" in str(
        error.value
    )
    assert "sales.orders: get_spark_config, `spark.executor.memory`: found 'many'" in str(error.value)


def own(settings: NodeSettings, resource: StarlakeResource | None) -> Any:
    yield "no setting"


def nothing(settings: NodeSettings, resource: StarlakeResource | None) -> None:
    return None


def test_the_function_of_another_package():
    one = ExecutionEnvironment("own", "x:Y", "s", settings=f"{__name__}:own", origin="package own")
    with pytest.raises(PluginError, match="found str, expected an iterable of InvalidSetting"):
        list(one.invalid_settings(NodeSettings()))
    one = ExecutionEnvironment("own", "x:Y", "s", settings=f"{__name__}:nothing", origin="package own")
    assert list(one.invalid_settings(NodeSettings())) == []
    assert InvalidSetting("x").severity == "error"
