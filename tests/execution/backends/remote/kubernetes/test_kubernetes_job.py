"""The Job of a command: fields and raw configuration as they are sent, and what is refused."""

import re

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import (
    CONTAINER,
    KEY_LABEL,
    JobTemplate,
    job_name,
)
from starlake_dagster_assets.execution.backends.remote.kubernetes_schema import schema_of
from starlake_dagster_assets.execution.backends.remote.kubernetes_settings import overrides_of
from starlake_dagster_assets.execution.backends.remote.protocol import Submission
from starlake_dagster_assets.execution.backends.remote.public_texts import list_public_texts

LOAD = Command("load", ("--domains", "sales"), {"SL_JOB_ID": "job-1", "A": "the command's"}, job_id="job-1")
SUBMISSION = Submission(LOAD, "job-1", {"run_id": "run-1", "step": "Sales loads!", "partition": "2024-01-01|eu "})


def built(submission=SUBMISSION, **fields):
    template = JobTemplate("starlake:1.6.0", **fields)
    template.validate()
    return template.job(submission, "data")


def test_the_smallest_one():
    job = built()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert job["metadata"]["namespace"] == "data"
    assert job["metadata"]["annotations"] == {KEY_LABEL: "job-1"}
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    assert "activeDeadlineSeconds" not in job["spec"]
    assert pod["restartPolicy"] == "Never"
    assert (container["name"], container["image"]) == (CONTAINER, "starlake:1.6.0")
    assert container["args"] == ["load", "--domains", "sales"]
    assert "command" not in container and "imagePullPolicy" not in container
    labels = job["spec"]["template"]["metadata"]["labels"]
    wanted = {
        "app.kubernetes.io/name": "starlake",
        "app.kubernetes.io/component": "load",
        "dagster/run-id": "run-1",
        "dagster/step": "Sales-loads",
        "dagster/partition": "2024-01-01-eu",
    }
    assert wanted.items() <= labels.items()
    assert wanted.items() <= job["metadata"]["labels"].items()


def test_a_name_belongs_to_a_key():
    again = Submission(LOAD, "job-1", {"run_id": "run-1", "step": "Sales loads!"})
    other = Submission(LOAD, "job-2", {"run_id": "run-1", "step": "Sales loads!"})
    long = Submission(LOAD, "job-1", {"step": "é" * 300 + "x" * 300})
    assert job_name(again) == job_name(SUBMISSION) != job_name(other)
    assert job_name(again).startswith("starlake-load-sales-loads-")
    assert max(len(job_name(one)) for one in (again, long)) <= 57


def test_every_field_arrives():
    job = built(
        env={"SL_ENV": "prod", "A": "ours"},
        secrets={"PGPASSWORD": "warehouse:password"},
        context={
            "env_config_maps": ["settings"],
            "env_secrets": ["all-of-it"],
            "image_pull_policy": "IfNotPresent",
            "image_pull_secrets": [{"name": "registry"}],
            "labels": {"team": "data"},
            "resources": {"limits": {"memory": "4Gi"}},
            "service_account_name": "starlake",
            "volumes": [{"name": "lake", "persistentVolumeClaim": {"claimName": "lake"}}],
            "volume_mounts": [{"name": "lake", "mountPath": "/lake"}],
        },
        pod_spec={
            "node_selector": {"pool": "batch"},
            "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        },
        annotations={"note": "x"},
        ttl_seconds_after_finished=700,
        active_deadline_seconds=50,
    )
    spec, metadata = job["spec"], job["spec"]["template"]["metadata"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert (spec["ttlSecondsAfterFinished"], spec["activeDeadlineSeconds"]) == (700, 50)
    assert metadata["annotations"] == {"note": "x"}
    assert job["metadata"]["annotations"] == {"note": "x", KEY_LABEL: "job-1"}
    assert metadata["labels"]["team"] == job["metadata"]["labels"]["team"] == "data"
    assert pod["serviceAccountName"] == "starlake"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"pool": "batch"}
    assert pod["tolerations"] == [{"key": "batch", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]
    assert "nodeAffinity" in pod["affinity"]
    assert pod["volumes"] == [{"name": "lake", "persistentVolumeClaim": {"claimName": "lake"}}]
    assert container["volumeMounts"] == [{"name": "lake", "mountPath": "/lake"}]
    assert container["resources"] == {"limits": {"memory": "4Gi"}}
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "all-of-it"}}]
    assert container["env"] == [  # a variable may refer to those before it, such as $(PGPASSWORD)
        {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "warehouse", "key": "password"}}},
        {"name": "SL_ENV", "value": "prod"},
        {"name": "A", "value": "the command's"},
        {"name": "SL_JOB_ID", "value": "job-1"},
    ]


@pytest.mark.parametrize(
    ("limit", "raw", "timeout", "found"),
    [(None, None, None, None), (None, None, 100.5, 160), (50, None, 100, 50), (None, 90, 100, 90), (500, 90, 10, 70)],
)
def test_the_nearest_limit_is_that_of_the_job(limit, raw, timeout, found):
    config = {} if raw is None else {"job_spec_config": {"activeDeadlineSeconds": raw}}
    submission = Submission(LOAD, "job-1", timeout=timeout)
    job = built(submission, active_deadline_seconds=limit, k8s_config=config)
    assert job["spec"].get("activeDeadlineSeconds") == found


def test_raw_configuration_is_merged_over_the_fields():
    raw = {
        "container_config": {
            "command": ["starlake"],
            "resources": {"limits": {"memory": "8Gi"}},
            "env": [
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "SL_LOG_LEVEL", "value": "error"},
            ],
            "securityContext": {"runAsNonRoot": True},
        },
        "pod_template_spec_metadata": {"labels": {"queue": "q"}, "annotations": {"a": "raw"}},
        "pod_spec_config": {"priorityClassName": "batch", "containers": [{"name": "side", "image": "side"}]},
        "job_metadata": {"labels": {"kueue.x-k8s.io/queue-name": "q"}},
        "job_spec_config": {"ttlSecondsAfterFinished": 900},
    }
    job = JobTemplate(
        "starlake:1.6.0",
        env={"SL_LOG_LEVEL": "info"},  # of every command
        context={"resources": {"limits": {"memory": "4Gi", "cpu": "1"}}},
        annotations={"a": "field", "b": "field"},
        k8s_config=raw,
    ).job(SUBMISSION, "data")
    pod = job["spec"]["template"]["spec"]
    container, side = pod["containers"]
    assert container["command"] == ["starlake"]
    assert container["resources"] == {"limits": {"memory": "8Gi", "cpu": "1"}}
    assert container["securityContext"] == {"runAsNonRoot": True}
    assert {one["name"]: one.get("value") for one in container["env"]} == {
        "POD": None,
        "SL_LOG_LEVEL": "info",  # without it no table is reported
        "A": "the command's",
        "SL_JOB_ID": "job-1",
    }
    assert (side["name"], pod["priorityClassName"]) == ("side", "batch")
    assert job["spec"]["ttlSecondsAfterFinished"] == 900
    assert job["spec"]["template"]["metadata"]["annotations"] == {"a": "raw", "b": "field"}
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    shallow = built(
        context={"resources": {"limits": {"cpu": "1"}}},
        k8s_config={"container_config": {"resources": {"limits": {"memory": "8Gi"}}}, "merge_behavior": "SHALLOW"},
    )
    found = shallow["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert found == {"limits": {"memory": "8Gi"}}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"k8s_config": {"job_spec_config": {"backoffLimit": 3}}}, "job_spec_config.backoffLimit is 3"),
        ({"k8s_config": {"pod_spec_config": {"restart_policy": "OnFailure"}}}, "`RetryPolicy`"),
        ({"k8s_config": {"job_spec_config": {"completions": 2}}}, "a command runs once"),
        ({"k8s_config": {"job_spec_config": {"podFailurePolicy": {"rules": []}}}}, "never by Kubernetes"),
        ({"k8s_config": {"job_metadata": {"name": "mine"}}}, "submitted once"),
        ({"k8s_config": {"container_config": {"args": ["x"]}}}, "they are the command"),
        ({"k8s_config": {"container_confg": {}}}, "did you mean `container_config`?"),
        (
            {"k8s_config": {"container_config": {"imagePolicy": "x"}}},
            "k8s_config.container_config.imagePolicy: Kubernetes has no such field; did you mean `imagePullPolicy`?",
        ),
        (
            {"k8s_config": {"pod_spec_config": {"containers": [{"name": "s", "env": [{"nam": "x"}]}]}}},
            "k8s_config.pod_spec_config.containers[0].env[0].nam: Kubernetes has no such field; did you mean `name`?",
        ),
        (
            {"k8s_config": {"container_config": {"env": [{"value": "x"}]}}},
            "env[0] has `value`; `name` is missing, and Kubernetes requires it. Next: add `name` (text) to k8s_config.",
        ),
        ({"context": {"volumes": [{}]}}, "volumes[0] is empty; `name` is missing"),
        ({"context": {"volume_mounts": [{"name": "v"}]}}, "volume_mounts[0] has `name`; `mountPath` is missing"),
        ({"context": {"volume_mounts": [{"sub_path": "v"}]}}, "`mount_path` and `name` are missing"),
        ({"context": {"volume_mounts": [{"name": "v", "mountPath": None}]}}, "`mountPath` is missing"),
        (
            {
                "k8s_config": {
                    "container_config": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}
                }
            },
            "env[0].valueFrom.secretKeyRef has `name`; `key` is missing",
        ),
        ({"k8s_config": {"container_config": {"ports": [{}]}}}, "Next: add `containerPort` (a whole number) to"),
        ({"context": {"resources": {"limits": {"memory": "16 GB"}}}}, "resources.limits[memory] is '16 GB'; expected"),
        (
            {"k8s_config": {"container_config": {"resources": {"requests": {"cpu": "two"}}}}},
            "k8s_config.container_config.resources.requests[cpu] is 'two'; expected a quantity",
        ),
        ({"k8s_config": {"container_config": {1: 2}}}, "k8s_config.container_config has the key 1 (int); expected"),
        ({"pod_spec": {"node_selector": {"a b": "x"}}}, "node_selector[a b] is not a valid key of a label"),
        ({"env": {"A": "x"}, "secrets": {"A": "s:k"}}, "the variable `A` is in both `env` and `secrets`"),
        ({"context": {"image_pull_policy": "always"}}, "image_pull_policy is 'always'; expected one of Always"),
        ({"annotations": {"my note": "x"}}, "annotations[my note] is not a valid key of an annotation"),
        ({"k8s_config": {"container_config": {"env": {"A": "x"}}}}, "env is a mapping; expected a list."),
        ({"k8s_config": {"container_config": "starlake"}}, "container_config is text; expected a mapping (Container)"),
        ({"k8s_config": {"container_config": {"stdin": "false"}}}, "stdin is text; expected true or false."),
        ({"k8s_config": {"pod_spec_config": {"nodeSelector": {"a": True}}}}, "nodeSelector[a] is true; expected text"),
        ({"k8s_config": {"job_spec_config": {"ttlSecondsAfterFinished": "x"}}}, "expected a whole number."),
        ({"k8s_config": {"merge_behavior": "shallow"}}, "'shallow'; expected DEEP or SHALLOW"),
        (
            {"k8s_config": {"pod_spec_config": {"hostIPC": True, "host_ipc": True}}},
            "has `hostIPC` and `host_ipc`, which are",
        ),
        ({"context": {"volumes": [{"nam": "x"}]}}, "volumes[0].nam: Kubernetes has no such field; did you mean `name`"),
        ({"context": {"resources": {"limit": {"cpu": 1}}}}, "resources.limit: Kubernetes has no such field"),
        ({"pod_spec": {"tolerations": [{"keys": "x"}]}}, "tolerations[0].keys: Kubernetes has no such field"),
        ({"pod_spec": {"node_selector": ["x"]}}, "node_selector is list; expected a mapping"),
        ({"secrets": {"PGPASSWORD": "hunter2"}}, "PGPASSWORD is not `SECRET:KEY`"),
        ({"secrets": {"PGPASSWORD": "hunter2:My_Pa$$word"}}, "PGPASSWORD is not `SECRET:KEY`"),
        ({"secrets": {"PGPASSWORD": "Warehouse:hunter2"}}, "PGPASSWORD is not `SECRET:KEY`"),
        ({"context": {"env_secrets": ["ok", "hunter2="]}}, "env_secrets[1] is not the name of an object"),
        ({"context": {"image_pull_secrets": [{"name": "Hunter2"}]}}, "image_pull_secrets[0] is not the name"),
        ({"context": {"labels": {"team": "data team"}}}, "labels[team] has an invalid value (9 characters)"),
        ({"context": {"labels": {"-team": "x"}}}, "labels[-team] is not a valid key of a label"),
        ({"context": {"labels": {"dagster/run-id": "x"}}}, "labels[dagster/run-id] cannot be set"),
        (
            {"k8s_config": {"job_metadata": {"labels": {"app.kubernetes.io/name": "x"}}}},
            "k8s_config.job_metadata.labels[app.kubernetes.io/name] cannot be set",
        ),
        (
            {"k8s_config": {"job_metadata": {"annotations": {KEY_LABEL: "x"}}}},
            "k8s_config.job_metadata.annotations[starlake.ai/key] cannot be set",
        ),
        ({"k8s_config": {"job_spec_config": {"ttl_seconds_after_finished": 30}}}, "is 30; it must be at least 600"),
        ({"k8s_config": {"job_spec_config": {"podReplacementPolicy": "TerminatingOrFailed"}}}, "it must be 'Failed'"),
        ({"k8s_config": {"job_spec_config": {"backoffLimitPerIndex": 3}}}, "a command runs once"),
        ({"k8s_config": {"job_spec_config": {"managedBy": "x/y"}}}, "managedBy cannot be set"),
        ({"k8s_config": {"container_config": {"restartPolicy": "Always"}}}, "restartPolicy cannot be set"),
    ],
)
def test_what_cannot_be_is_refused(fields, text):
    with pytest.raises(RunnerError) as error:
        built(**fields)
    assert text in str(error.value)
    assert "hunter2" not in str(error.value).lower()


def test_what_anyone_can_read():
    side = {"name": "side", "image": "side", "env": [{"name": "B", "value": "2"}], "args": ["--url", "x"]}
    raw = {
        "container_config": {
            "command": ["starlake"],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
        },
        "pod_spec_config": {"initContainers": [side]},
        "job_metadata": {"annotations": {"note": "n"}, "labels": {"team": "data"}},
    }
    volumes = [{"name": "v", "secret": {"secretName": "w"}}]
    found = [*list_public_texts("k8s_config", raw), *list_public_texts("volumes", volumes)]
    assert {(one.path, one.name, one.text) for one in found if one.kind == "variable"} == {
        ("k8s_config.container_config.env", "A", "1"),
        ("k8s_config.pod_spec_config.initContainers[0].env", "B", "2"),
        ("k8s_config.pod_spec_config.initContainers[0].args", "--url", "x"),
        ("k8s_config.job_metadata.annotations", "note", "n"),
        ("k8s_config.job_metadata.labels", "team", "data"),
    }
    others = {(one.path, one.name): one.text for one in found if one.kind == "text"}
    assert others["k8s_config.container_config", "command[0]"] == "starlake"
    assert others["k8s_config.pod_spec_config.initContainers[0]", "args[0]"] == "--url"
    assert others["k8s_config.pod_spec_config.initContainers[0]", "args"] == "--url x"
    assert others["volumes[0].secret", "secretName"] == "w"
    assert ("volumes[0].secret", "secretName") in {(one.path, one.text) for one in found if one.kind == "key"}


def test_the_fields_are_those_of_the_installed_client():
    import kubernetes.client

    kinds, todo = {}, ["V1JobSpec", "V1ObjectMeta"]
    while todo:
        kind = todo.pop()
        if kind not in kinds:
            kinds[kind] = schema = schema_of(kind)
            assert schema is not None, kind
            todo += [name for text in schema.types.values() for name in re.findall(r"[A-Z]\w+", text)]
    assert len(kinds) > 90
    for kind, schema in kinds.items():
        model = getattr(kubernetes.client, kind)
        assert (schema.names, schema.types) == (model.attribute_map, model.openapi_types), kind
        filled = dict.fromkeys(schema.required, "x")
        model(**filled)
        for name in schema.required:
            with pytest.raises(ValueError, match=name):
                model(**{**filled, name: None})


def test_keys_without_a_value_are_not_set():
    raw = {"container_config": {"volumeMounts": None, "stdin": True}, "pod_spec_config": None}
    job = built(k8s_config=raw, context={"volumes": [{"name": "v", "secret": None}]})
    assert job["spec"]["template"]["spec"]["volumes"] == [{"name": "v"}]
    assert job["spec"]["template"]["spec"]["containers"][0]["stdin"] is True


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ([], {}),
        (["nightly", "spark_executor_memory=8g"], {}),
        (["kubernetes_cpu = 2"], {"requests": {"cpu": "2"}}),
        (["kubernetes_memory=8Gi"], {"requests": {"memory": "8Gi"}, "limits": {"memory": "8Gi"}}),
        (
            [
                "kubernetes_memory=8Gi",
                'dagster-k8s/config={"container_config": {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}}',
            ],
            {"requests": {"memory": "8Gi"}, "limits": {"cpu": "1", "memory": "8Gi"}},
        ),
    ],
)
def test_tags_give_a_table_its_own_resources(tags, found):
    command = Command("load", job_id="job-1", overrides=overrides_of(tags))
    job = built(Submission(command, "job-1"))
    assert job["spec"]["template"]["spec"]["containers"][0].get("resources") == found


def test_a_secret_does_not_replace_the_spark_properties_of_a_table():
    secrets = {"SPARK_CONF_OPTIONS": "spark:options"}
    built(Submission(Command("load", job_id="job-1"), "job-1"), secrets=secrets)
    command = Command("load", spark={"spark.executor.memory": "8g"}, job_id="job-1")
    with pytest.raises(
        RunnerError, match="secrets `SPARK_CONF_OPTIONS`: it would replace the Spark properties of load"
    ):
        built(Submission(command, "job-1"), secrets=secrets)


def test_spark_properties_of_a_table_reach_a_cluster():
    properties = spark_of(["spark_executor_memory=8g", "spark.sql.shuffle.partitions=400"])
    env = {
        "SPARK_MASTER_URL": "k8s://https://kubernetes.default.svc",
        "SPARK_CONF_OPTIONS": "--conf spark.executor.instances=2",
    }
    command = Command("load", ("--domains", "sales"), {"SL_JOB_ID": "job-1"}, spark=properties, job_id="job-1")
    container = built(Submission(command, "job-1"), env=env)["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["load", "--domains", "sales"]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "SL_JOB_ID": "job-1",
        "SPARK_MASTER_URL": "k8s://https://kubernetes.default.svc",
        "SPARK_CONF_OPTIONS": "--conf spark.executor.instances=2 --conf spark.executor.memory=8g "
        "--conf spark.sql.shuffle.partitions=400",
    }


def test_the_settings_of_a_table_are_merged_over_those_of_the_resource():
    texts = ('{"pod_spec_config": {"nodeSelector": {"pool": "big"}}}', '{"pod_spec_config": {"hostname": "x"}}')
    job = built(Submission(Command("load", overrides=texts), "job-1"), pod_spec={"node_selector": {"a": "b"}})
    pod = job["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], pod["hostname"]) == ({"a": "b", "pool": "big"}, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "expected a JSON object, found 'no json'"),
        ("[1]", "expected a JSON object"),
        ('{"pod_spec_config": {"restartPolicy": "Always"}}', "dagster-k8s/config.pod_spec_config.restartPolicy is"),
        ('{"job_spec_config": {"ttlSecondsAfterFinished": 1}}', "it must be at least 600"),
        ('{"job_metadata": {"labels": {"dagster/run-id": "x"}}}', "labels[dagster/run-id] cannot be set"),
        ('{"container_config": {"imag": "x"}}', "dagster-k8s/config.container_config.imag: Kubernetes has no such"),
        (
            '{"container_config": {"env": [{"name": "PGPASSWORD", "value": "x"}]}}',
            "env `PGPASSWORD` of a table looks like a secret",
        ),
    ],
)
def test_settings_of_a_table_that_cannot_be(text, said):
    with pytest.raises(RunnerError) as error:
        built(Submission(Command("load", overrides=(text,)), "job-1"))
    assert said in str(error.value)


def test_a_request_of_a_table_fits_the_limit_of_the_resource():
    submission = Submission(Command("load", overrides=overrides_of(["kubernetes_cpu=2"]), job_id="job-1"), "job-1")
    built(submission, context={"resources": {"limits": {"cpu": "2"}}})
    with pytest.raises(RunnerError, match=r"resources of the table.limits\[cpu\] is 1, less than the request 2"):
        built(submission, context={"resources": {"limits": {"cpu": "1"}}})
