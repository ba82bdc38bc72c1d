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
NODES = "requiredDuringSchedulingIgnoredDuringExecution"


def limited(**resources: dict[str, object]) -> dict[str, object]:
    return {"resources": resources}


def mounted(**fields: str) -> dict[str, object]:
    return {"volumes": [VOLUME], "volume_mounts": [{**MOUNT, **fields}]}


def tolerated(**fields: object) -> dict[str, object]:
    return {"tolerations": [fields]}


def selected(**fields: object) -> dict[str, object]:
    terms = [{"matchExpressions": [{"key": "zone", **fields}]}]
    return {"affinity": {"nodeAffinity": {NODES: {"nodeSelectorTerms": terms}}}}


def secured(**fields: object) -> dict[str, object]:
    return {"k8s_config": {CONTAINER: {"securityContext": fields}}}


def filled(**sources: object) -> dict[str, object]:
    return {"k8s_config": {CONTAINER: {"env": [{"name": "A", "valueFrom": sources}]}}}


WRONG = {
    "a negative request": (limited(requests={"cpu": "-1"}), "resources.requests[cpu] is '-1'; expected a quantity of"),
    "a small limit": (
        limited(requests={"memory": "2Gi"}, limits={"memory": "2000M"}),
        "resources.limits[memory] is 2000M, less than the request 2Gi; expected at least the request",
    ),
    "a small limit of a raw container": (
        {"k8s_config": {CONTAINER: limited(requests={"cpu": "1500m"}, limits={"cpu": 1})}},
        "k8s_config.container_config.resources.limits[cpu] is 1, less than the request 1500m",
    ),
    "a GPU without a limit": (
        limited(requests={"nvidia.com/gpu": 1}),
        "resources.requests[nvidia.com/gpu] is 1 with no limit; expected `limits` with the same number",
    ),
    "a GPU with another limit": (
        limited(requests={"nvidia.com/gpu": "1"}, limits={"nvidia.com/gpu": "2"}),
        "resources.requests[nvidia.com/gpu] is 1 with the limit 2; expected",
    ),
    "half a GPU": (
        limited(limits={"nvidia.com/gpu": "500m"}),
        "resources.limits[nvidia.com/gpu] is '500m'; expected a",
    ),
    **{
        f"the resource {name}": (
            limited(requests={name: "1"}),
            f"resources.requests[{name}]: Kubernetes has no such resource of a container; did you mean `{close}`?",
        )
        for name, close in {
            "mem": "memory",
            "Memory": "memory",
            "CPU": "cpu",
            "cpus": "cpu",
            "ephemeral_storage": "ephemeral-storage",
            "storage": "ephemeral-storage",
            "gpu": "nvidia.com/gpu",
        }.items()
    },
    "another resource": (
        {"k8s_config": {CONTAINER: limited(limits={"accelerators": 1})}},
        "k8s_config.container_config.resources.limits[accelerators]: Kubernetes has no such resource of a container; "
        "expected cpu, memory, ephemeral-storage, or a name with `/`.",
    ),
    **{
        f"credentials of the Pod and {name}": (
            {"load_incluster_config": True, name: "x"},
            f"`load_incluster_config` uses the credentials of the Pod, and `{name}` those of a kubeconfig",
        )
        for name in ("kubeconfig_file", "context")
    },
    **{
        f"the field {path}": (
            filled(fieldRef={"fieldPath": path}),
            f"env[0].valueFrom.fieldRef.fieldPath is {path!r}; expected metadata.name, metadata.namespace",
        )
        for path in ("metadata.nam", "status.podIp", "metadata.labels[app]", "spec.containers")
    },
    "a resource of a field": (
        filled(resourceFieldRef={"resource": "limits.mem"}),
        "valueFrom.resourceFieldRef.resource is 'limits.mem'; expected limits or requests of cpu",
    ),
    "no source of a variable": (filled(), "env[0].valueFrom has no source; expected one."),
    "two sources of a variable": (
        filled(fieldRef={"fieldPath": "metadata.uid"}, secretKeyRef={"name": "s", "key": "k"}),
        "env[0].valueFrom has the sources field_ref and secret_key_ref; expected one.",
    ),
    "two sources": (
        {"volumes": [{**VOLUME, "hostPath": {"path": "/x"}}]},
        "volumes[0] has the sources empty_dir and host_path; expected one of them",
    ),
    "a volume's name": (
        {"volumes": [{"name": "V_1"}]},
        "volumes[0].name is 'V_1'; expected at most 63 lower-case letters",
    ),
    "a size": (
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1 GB"}}]},
        "volumes[0].emptyDir.sizeLimit is '1 GB'; expected a quantity",
    ),
    "a negative size": (
        {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1Gi"}}]},
        "sizeLimit is '-1Gi'; expected",
    ),
    "a medium": ({"volumes": [{"name": "v", "emptyDir": {"medium": "RAM"}}]}, "medium is 'RAM'; expected Memory"),
    "a host path": (
        {"volumes": [{"name": "v", "hostPath": {"path": "/x", "type": "Dir"}}]},
        "volumes[0].hostPath.type is 'Dir'; expected one of BlockDevice, CharDevice, Directory",
    ),
    "a mode": (
        {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 644}}]},
        "volumes[0].secret.defaultMode is '644'; expected a whole number from 0 to 511 (octal 0777)",
    ),
    **{
        f"a mode as the text {text}": (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": text}}]},
            f"defaultMode is the text '{text}', which is octal; expected a number. Next: write `0o{text[-3:]}` in "
            "Python, or `256`.",
        )
        for text in ("400", "0o400")
    },
    "a mode of one key as text": (
        {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "a", "mode": "0400"}]}}]},
        "items[0].mode is the text '0400', which is octal; expected a number. Next: write `0o400` in Python, or `256`.",
    ),
    "a port as text": (
        {"k8s_config": {CONTAINER: {"ports": [{"containerPort": "4040"}]}}},
        "ports[0].containerPort is the text '4040'; expected a whole number. Next: remove the quotes.",
    ),
    "a user as text": (
        secured(runAsUser="1000"),
        "runAsUser is the text '1000'; expected a whole number. Next: remove",
    ),
    "a fraction": (secured(runAsUser=1000.0), "runAsUser is float; expected a whole number."),
    "a list of numbers as text": (
        {"k8s_config": {POD: {"securityContext": {"supplementalGroups": ["1"]}}}},
        "supplementalGroups[0] is text; expected a whole number.",
    ),
    "no mount path": (mounted(mountPath=""), "volume_mounts[0].mountPath is ''; expected a path without `:`"),
    "a colon": (mounted(mountPath="/a:ro"), "volume_mounts[0].mountPath is '/a:ro'; expected a path without `:`"),
    "a path above": (
        mounted(subPath="a/../b"),
        "volume_mounts[0].subPath is 'a/../b'; expected a path within the volume",
    ),
    "an absolute path": (mounted(subPath="/a"), "volume_mounts[0].subPath is '/a'; expected a path within the volume"),
    "two paths": (mounted(subPath="a", subPathExpr="b"), "volume_mounts[0] has both `subPath` and `subPathExpr`"),
    "a value of Exists": (
        tolerated(key="a", operator="Exists", value="b"),
        "tolerations[0] has the operator Exists and a `value`; expected no value",
    ),
    "no key": (
        tolerated(operator="Equal", value="b"),
        "tolerations[0] has no `key`; expected one, or the operator Exists",
    ),
    "seconds": (
        tolerated(key="a", operator="Exists", tolerationSeconds=60, effect="NoSchedule"),
        "tolerations[0] has `tolerationSeconds` and the effect NoSchedule; expected NoExecute",
    ),
    "no values": (
        selected(operator="In"),
        "nodeSelectorTerms[0].matchExpressions[0] has the operator In and no `values`; expected at least one",
    ),
    "values of Exists": (
        selected(operator="Exists", values=["a"]),
        "has the operator Exists and `values`; expected none",
    ),
    "values of Gt": (
        selected(operator="Gt", values=["a"]),
        "has the operator Gt; expected one whole number in `values`",
    ),
    "no terms": (
        {"affinity": {"nodeAffinity": {NODES: {"nodeSelectorTerms": []}}}},
        f"{NODES} has no `nodeSelectorTerms`",
    ),
    "a weight": (
        {
            "affinity": {
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "preference": {}}],
                }
            }
        },
        "[0].weight is '101'; expected a whole number from 1 to 100.",
    ),
    "no topology": (
        {"affinity": {"podAntiAffinity": {NODES: [{}]}}},
        f"podAntiAffinity.{NODES}[0] is empty; `topologyKey` is",
    ),
    "an empty topology": (
        {"affinity": {"podAffinity": {NODES: [{"topologyKey": ""}]}}},
        "topologyKey is ''; expected the label of a node",
    ),
    "a user": (
        secured(runAsUser=-1),
        "securityContext.runAsUser is '-1'; expected a whole number from 0 to 2147483647",
    ),
    "a group": (
        {"k8s_config": {POD: {"securityContext": {"fsGroup": 2**31}}}},
        "k8s_config.pod_spec_config.securityContext.fsGroup is '2147483648'; expected a whole number from 0 to",
    ),
    "two values": (
        {
            "k8s_config": {
                CONTAINER: {
                    "env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
                }
            }
        },
        "env[0] has both `value` and `valueFrom`; expected one of them",
    ),
    "a long life": (
        {"ttl_seconds_after_finished": 2**31},
        "should be less than or equal to 2147483647; found 2147483648",
    ),
    "a long raw life": (
        {"k8s_config": {"job_spec_config": {"ttlSecondsAfterFinished": 2**31}}},
        "ttlSecondsAfterFinished is '2147483648'; expected a whole number from 0 to 2147483647",
    ),
    "a long deadline": ({"active_deadline_seconds": 2**31}, "should be less than or equal to 2147483647"),
    "no time": (
        {"k8s_config": {"job_spec_config": {"activeDeadlineSeconds": 0}}},
        "activeDeadlineSeconds is '0'; expected a whole number from 1 to 2147483647",
    ),
    **{
        f"the label {name}": ({"labels": {name: "x"}}, f"labels[{name}] cannot be set")
        for name in ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")
    },
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
    "equal quantities": limited(requests={"memory": "1Gi", "cpu": 1}, limits={"memory": 1073741824, "cpu": "1000m"}),
    "requests without limits": limited(requests={"memory": "1e9", "cpu": "0.5"}),
    "a GPU": limited(limits={"nvidia.com/gpu": 1}),
    "a kubeconfig in a Pod": {"load_incluster_config": False, "context": "c"},
    "credentials of the Pod": {"load_incluster_config": True},
    "a label": filled(fieldRef={"fieldPath": "metadata.labels['app.kubernetes.io/name']"}),
    "an address": filled(fieldRef={"apiVersion": "v1", "fieldPath": "status.podIP"}),
    "a limit": filled(resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}),
    "a key of a ConfigMap": filled(configMapKeyRef={"name": "c", "key": "k"}, secretKeyRef=None),
    "a field of a variable": filled(fieldRef={"fieldPath": dg.EnvVar("F")}),
    "huge pages and storage": limited(limits={"hugepages-2Mi": "4Mi", "memory": "1Gi", "ephemeral-storage": "2Gi"}),
    "a limit of a variable": limited(requests={"cpu": "2"}, limits={"cpu": dg.EnvVar("CPU")}),
    "limits of a variable": limited(requests={"nvidia.com/gpu": "2"}, limits=dg.EnvVar("LIMITS")),
    "a dotted path": mounted(subPath="a/..b/c..", mountPath="/data/"),
    "all taints": tolerated(operator="Exists"),
    "seconds before eviction": tolerated(key="a", operator="Exists", effect="NoExecute", tolerationSeconds=60),
    "the default operator": tolerated(key="a", value="b"),
    "a number of cores": selected(operator="Gt", values=["4"]),
    "an octal mode": {"volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 0o644}}]},
    "a volume without a source": {"volumes": [{"name": "v"}]},
    "the root user": secured(runAsUser=0, runAsGroup=2**31 - 1),
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
