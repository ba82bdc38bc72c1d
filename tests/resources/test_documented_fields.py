"""Every field and every option of a resource is in a table of its page, with the default that it has."""

import re
from pathlib import Path

import pytest

from starlake_dagster_assets.resources import (
    DataprocCluster,
    DataprocServerless,
    StarlakeCloudRun,
    StarlakeDataproc,
    StarlakeDuckDB,
    StarlakeFargate,
    StarlakeKubernetes,
    StarlakeShell,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    StarlakeCloudRun: "cloud-run.md",
    StarlakeDataproc: "dataproc.md",
    StarlakeFargate: "fargate.md",
    StarlakeKubernetes: "kubernetes.md",
    StarlakeShell: "shell.md",
    StarlakeDuckDB: "embedded-engine.md",
}
PARTS = {"ephemeral": DataprocCluster, "serverless": DataprocServerless}


def words(page: str) -> set[str]:
    """What stands in backquotes in the rows of its tables; beside `a_machine_type`, `…_disk_type` is `a_disk_type`."""
    found: set[str] = set()
    for row in (DOCS / page).read_text().splitlines():
        if row.startswith("|"):
            said = re.findall(r"`([^`]+)`", row)
            tails = [name[1:] for name in said if name.startswith("…_")]
            found |= {*said, *(f"{name.removesuffix('_machine_type')}{tail}" for name in said for tail in tails)}
    return found


def patterns(there: set[str]) -> list[str]:
    """`dataproc_master_…` stands for all that begin so; what follows a blank is no part of a name."""
    return [re.escape(word.split(" ")[0]).replace("…", ".*") for word in there if word.strip("…")]


@pytest.mark.parametrize("resource", PAGES, ids=lambda one: one.__name__)
def test_every_field_and_option_is_documented(resource):
    deprecated = {
        name for name, field in resource.model_fields.items() if (field.description or "").startswith("Deprecated")
    }
    fields = {name for name in resource.model_fields if name not in PARTS} - deprecated
    if resource is StarlakeDataproc:
        fields |= {f"{part}.{name}" for part, config in PARTS.items() for name in config.model_fields}
    fields = {name for name in fields if not name.endswith("from_environment")}  # filled by the resources themselves
    there = words(PAGES[resource])
    assert not sorted(fields - there)
    options = {
        name for name in resource.option_names if not any(re.fullmatch(known, name) for known in patterns(there))
    }
    assert not sorted(options)


@pytest.mark.parametrize(
    ("resource", "options"),
    [
        (StarlakeCloudRun, {"cloud_run_job_name": "j"}),
        (StarlakeDataproc, {"spark_jar_list": "gs://b/a.jar,gs://b/c.jar"}),
    ],
)
def test_what_no_option_says_comes_from_the_variables_of_the_seeds(resource, options, monkeypatch):
    monkeypatch.setenv("GCP_PROJECT", "from-the-environment")
    monkeypatch.setenv("GCP_REGION", "europe-west9")
    found = resource.from_options(options)
    with found.process_config_and_initialize_cm() as ready:
        assert (ready.project, ready.region) == ("from-the-environment", "europe-west9")
    name = next(name for name, field in resource.option_names.items() if field == "project")
    assert resource.from_options({**options, name: "said"}).project == "said"
