"""Python in README.md and docs/ runs as it stands: blocks after `<!-- test: NAME -->`, beside a project starbake."""

import re
import shutil
from pathlib import Path

import dagster as dg
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"<!-- test: (?P<name>[\w-]+) -->\s*```python\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)


def blocks() -> list:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [pytest.param(match["code"], id=f"{page.stem}-{match['name']}") for match in BLOCK.finditer(text)]
    return found


def test_the_readme_has_blocks_to_run():
    ids = [param.id for param in blocks()]
    assert {"README-definitions", "README-decorator"} <= set(ids)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- test:") == len(BLOCK.findall(text)), f"{page.name}: a marker without a python block"


@pytest.mark.parametrize("code", blocks())
def test_a_block_runs(code, tmp_path, monkeypatch):
    ignored = shutil.ignore_patterns("datasets")
    shutil.copytree(ROOT / "example_project" / "starbake", tmp_path / "starbake", ignore=ignored)
    shutil.copytree(ROOT / "example_project" / "deliveries" / "day1", tmp_path / "starbake" / "datasets" / "incoming")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names: dict = {"__name__": "block"}
    exec(compile(code, "block.py", "exec"), names)
    defs = names.get("defs")
    if not isinstance(defs, dg.Definitions):
        return
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert {"starbake/Customers", "starbake/Orders"} <= made
