"""Values that Kubernetes would reject, or that no command could use, are errors when definitions are loaded."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from pydantic import TypeAdapter, ValidationError

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets._compat import has_components
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.resources import StarlakeKubernetes
from tests.conformance.subject import write_project

VOLUME, MOUNT = {"name": "data", "emptyDir": {}}, {"name": "data", "mountPath": "/data"}
POD, CONTAINER = "pod_spec_config", "container_config"
WRONG = {
    "a blank in a variable": (
        {"env": {"A B": "x"}},
        "env has a key that is not the name of a variable; found 'A B' (3",
    ),
    "an equals sign": ({"env": {"A=hidden": "x"}}, "found 'A' (8 characters)"),
    "an empty variable": ({"env": {"": "x"}}, "found '' (0 characters)"),
    "a variable of a Secret": ({"secrets": {"1A": "w:p"}}, "secrets has a key that is not the name of a variable"),
    "a raw variable": (
        {"k8s_config": {CONTAINER: {"env": [{"name": "A B", "value": "x"}]}}},
        "k8s_config.container_config.env[0].name is not the name of a variable; found 'A B'",
    ),
    "no volume": (
        {"volume_mounts": [MOUNT]},
        "volume_mounts[0] mounts the volume `data`, which does not exist. Next: add",
    ),
    "another volume": (
        {"volume_mounts": [MOUNT], "volumes": [{"name": "date", "emptyDir": {}}]},
        "Did you mean `date`?",
    ),
    "no volume of a raw mount": (
        {"k8s_config": {CONTAINER: {"volumeMounts": [MOUNT]}}},
        "k8s_config.container_config.volume_mounts[0] mounts the volume `data`",
    ),
    "a volume twice": ({"volumes": [VOLUME, VOLUME]}, "volumes[1] has the volume `data` of an earlier item"),
    "a path twice": (
        {"volumes": [VOLUME], "volume_mounts": [MOUNT, MOUNT]},
        "volume_mounts[1] has the mount path `/data` of an earlier item",
    ),
    "an operator": (
        {"tolerations": [{"key": "a", "operator": "Equals"}]},
        "tolerations[0].operator is 'Equals'; expected one of Equal, Exists, Gt, Lt; did you mean `Equal`?",
    ),
    "an effect": (
        {"tolerations": [{"key": "a", "effect": "noschedule"}]},
        "tolerations[0].effect is 'noschedule'; expected one of NoExecute, NoSchedule, PreferNoSchedule; did you mean",
    ),
    "a number as text": (
        {"k8s_config": {POD: {"schedulerName": 5}}},
        "k8s_config.pod_spec_config.schedulerName is 5 (int); expected text. Next: put it in quotes.",
    ),
    "a policy": ({"k8s_config": {POD: {"dnsPolicy": "Cluster"}}}, "did you mean `ClusterFirst`?"),
    "a range": ({"ttl_seconds_after_finished": 5}, "should be greater than or equal to 600; found 5."),
    "a range as text": ({"timeout": "-1"}, "`timeout` should be greater than 0; found '-1'."),
    "a type": ({"timeout": "soon-n0body-may-see"}, "unable to parse string as a number; found text."),
    "a mapping": ({"namespace": {"a": "b"}}, "`namespace` should be a valid string; found a mapping."),
    "a choice": ({"log_level": "loud"}, "should be 'info', 'debug', 'trace' or 'all'; found 'loud'."),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value(case: str):
    fields, message = WRONG[case]
    with pytest.raises(RunnerError) as error:
        StarlakeKubernetes(image="i", **fields)
    assert message in str(error.value) and "n0body" not in str(error.value)


RIGHT = {
    "a volume of raw configuration": {"volume_mounts": [MOUNT], "k8s_config": {POD: {"volumes": [VOLUME]}}},
    "volumes of a variable": {"volume_mounts": [MOUNT], "volumes": dg.EnvVar("VOLUMES")},
    "a name of a variable": {"volume_mounts": [MOUNT], "volumes": [{"name": dg.EnvVar("VOLUME"), "emptyDir": {}}]},
    "one volume at two paths": {"volumes": [VOLUME], "volume_mounts": [MOUNT, {**MOUNT, "mountPath": "/more"}]},
    "numbers": {"resources": {"requests": {"cpu": 2}}, "k8s_config": {POD: {"terminationGracePeriodSeconds": 5}}},
    "a toleration": {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]},
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_value(case: str):
    assert StarlakeKubernetes(image="i", **RIGHT[case]).image == "i"


def test_a_deadline_before_the_time_limit_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    project = StarlakeProject(write_project(tmp_path))
    StarlakeKubernetes(image="i", active_deadline_seconds=100, timeout=10).validate_against(project)
    assert "active_deadline_seconds" not in caplog.text
    with caplog.at_level("WARNING"):
        StarlakeKubernetes(image="i", active_deadline_seconds=10, timeout=100).validate_against(project)
    assert "active_deadline_seconds is 10, less than timeout (100)" in caplog.text


@pytest.mark.skipif(not has_components(), reason="needs components")
def test_an_unknown_type_in_yaml_has_the_closest_name():
    from starlake_dagster_assets.component.attributes import environment_type

    with pytest.raises(ValidationError, match="Did you mean `kubernetes`"):
        TypeAdapter(environment_type()).validate_python({"type": "kubernets", "image": "i"})
