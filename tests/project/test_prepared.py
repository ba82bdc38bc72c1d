"""A prepared project: the same as its files say, without them, without secrets, wherever it is read."""

import json
import shutil
from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.cache.prepared import read_prepared

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project" / "starbake"
APPLICATION = """\
version: 1
application:
  connectionRef: pg
  connections:
    pg:
      type: jdbc
      options:
        {url: "jdbc:postgresql://h/db", user: me, password: "literal-one", preActions: "set k '{{SL_API_TOKEN}}'"}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StarlakeProject:
    root = shutil.copytree(EXAMPLE, tmp_path / "here" / "starbake", ignore=shutil.ignore_patterns("datasets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return StarlakeProject(root, env="DUCKDB", manifest=tmp_path / "starbake.json")


@pytest.fixture
def secretive(project: StarlakeProject, monkeypatch: pytest.MonkeyPatch) -> StarlakeProject:
    """A project with a secret in a connection, one in a variable, and one that its SQL prints."""
    monkeypatch.setenv("SL_API_TOKEN", "token-of-the-api")
    metadata = project.root / "metadata"
    (metadata / "application.sl.yml").write_text(APPLICATION)
    (metadata / "transform/kpi/secret.sql").write_text("select '{{SL_API_TOKEN}}' as t, '{{SL_COLOR}}' as c")
    return project


def moved(project: StarlakeProject, where: Path) -> StarlakeProject:
    """The same project where its directory is not."""
    shutil.rmtree(project.root)
    return StarlakeProject(where / "starbake", env=project._env, manifest=project.manifest)


def test_it_is_the_project_that_its_files_say_at_another_place_and_without_them(project, tmp_path):
    before = StarlakeProject(project.root, env="DUCKDB")
    model, graph, root = before.model.model_dump(mode="json", exclude={"variables"}), before.graph, str(project.root)
    project.prepare()
    there = moved(project, tmp_path / "there")
    assert json.dumps(there.model.model_dump(mode="json", exclude={"variables"})) == json.dumps(model).replace(
        root, str(there.root)
    )
    assert set(there.graph.nodes) == set(graph.nodes)
    assert there.graph.edges == graph.edges
    assert there.env == "DUCKDB"
    assert root not in (tmp_path / "starbake.json").read_text()


def test_a_root_that_begins_other_names_is_replaced_as_a_whole_only(tmp_path):
    from starlake_dagster_assets.project.cache.prepared import _ROOT, _replaced

    assert _replaced("/app/in", (), "/app") == f"{_ROOT}/in"
    assert _replaced("jdbc:duckdb:/app/d.db;/app", (), "/app") == f"jdbc:duckdb:{_ROOT}/d.db;{_ROOT}"
    assert _replaced("/application /data/app /app2", (), "/app") == "/application /data/app /app2"


def test_no_secret_is_in_it(secretive):
    text = secretive.prepare().read_text()
    assert "literal-one" not in text
    assert "token-of-the-api" not in text
    model = secretive.model
    assert "select '***' as t" in next(task.sql for task in model.tasks if task.stem == "secret")
    assert model.connection("pg").engine == "postgresql"
    assert model.connection("pg").options["user"] == "me"
    assert model.variables["SL_API_TOKEN"] == "token-of-the-api"  # from the process: it is hidden in what is shown


def test_preparing_twice_writes_the_same_bytes(project):
    first = project.prepare().read_bytes()
    assert project.prepare().read_bytes() == first


def test_a_project_with_errors_is_not_prepared(project):
    (project.root / "metadata/load/starbake/Orders.sl.yml").write_text("version: 1\ntable: {nam: x}\n")
    with pytest.raises(ProjectError, match=r"Orders\.sl\.yml"):
        project.prepare()
    assert not project.manifest.exists()


def test_without_the_file_the_error_says_how_to_make_it(project):
    with pytest.raises(ProjectError, match=r"was not prepared.*starlake-dagster prepare .* --env DUCKDB --out "):
        project.model  # noqa: B018


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1}\n{}', b"\xff\xfe", b"[1]\n[2]"])
def test_what_is_no_prepared_project_is_refused(project, content):
    project.manifest.write_bytes(content)
    with pytest.raises(ProjectError, match="starlake-dagster prepare"):
        project.model  # noqa: B018


def test_one_of_other_models_is_refused_with_its_version(project):
    path = project.prepare()
    head, _, body = path.read_text().partition("\n")
    path.write_text(json.dumps({**json.loads(head), "format": "old", "version": "0.0.9"}) + "\n" + body)
    with pytest.raises(ProjectError, match=r"was written by starlake-dagster-assets 0\.0\.9"):
        project.model  # noqa: B018


def test_another_environment_or_option_or_variable_is_refused(secretive, monkeypatch):
    path = secretive.prepare()
    read = {"env": "DUCKDB", "options": {}, "environ": {}}
    read_prepared(path, secretive.root, **read)
    with pytest.raises(ProjectError, match="written for the environment DUCKDB, but None is requested"):
        read_prepared(path, secretive.root, **{**read, "env": None})
    with pytest.raises(ProjectError, match="another value of country"):
        read_prepared(path, secretive.root, **{**read, "options": {"country": "FR"}})
    with pytest.raises(ProjectError, match="another value of SL_COLOR"):
        read_prepared(path, secretive.root, **{**read, "environ": {"SL_COLOR": "red"}})
    with pytest.raises(ProjectError, match="another value of SL_TIMEZONE"):
        read_prepared(path, secretive.root, **{**read, "environ": {"SL_TIMEZONE": "UTC"}})
    # what the project does not read, and secrets, may be another
    environ = {"SL_STARLAKE_PATH": "/opt/starlake", "SL_API_TOKEN": "new", "SL_ROOT": "/x", "SL_ENV": "OTHER"}
    read_prepared(path, secretive.root, **{**read, "environ": environ})


def test_prepare_if_dev_writes_under_dagster_dev_only(project, monkeypatch):
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    project.prepare_if_dev()
    assert not project.manifest.exists()
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    project.prepare_if_dev()
    assert project.manifest.exists()


def test_a_project_without_a_manifest_does_not_know_where_to_write_one(project):
    with pytest.raises(ProjectError, match="has no manifest"):
        StarlakeProject(project.root).prepare()
