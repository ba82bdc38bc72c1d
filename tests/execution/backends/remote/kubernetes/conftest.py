import pytest

from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.script import Scripted


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted")


@pytest.fixture
def server(scripted):
    with FakeKubernetes([str(scripted.path)], scripted.environ) as running:
        yield running


@pytest.fixture
def environment(server, tmp_path):
    def make(*, now=None, start_timeout=600.0, **fields):
        template = JobTemplate("starlake:1.6.0", **{"env": {"SL_LOG_LEVEL": "info"}, **fields})
        given = {} if now is None else {"now": now}
        config = server.kubeconfig(tmp_path)
        return KubernetesEnvironment(template, kubeconfig_file=config, start_timeout=start_timeout, **given)

    return make
