import pytest

from tests.fakes.aws import FakeAws
from tests.fakes.script import Scripted


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted")


@pytest.fixture
def aws(scripted):
    with FakeAws([str(scripted.path)], scripted.environ) as server:
        yield server
