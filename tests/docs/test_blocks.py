"""Every fenced block of README.md and docs/ does what its page says: the marks are in `blocks.py`."""

import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, _compat
from tests.docs.blocks import PAGES, ROOT, Block, blocks
from tests.docs.running import EXAMPLE, Reader, Wrong
from tests.legacy import generated

# Dagster's own loading of components uses what it calls a preview and beta
pytestmark = [
    pytest.mark.filterwarnings("ignore:Function `load_definitions_from_module"),
    pytest.mark.filterwarnings("ignore:Class `.*CodeReference"),
    pytest.mark.filterwarnings("ignore:Class `MultiAssetSensorDefinition`"),
    pytest.mark.filterwarnings("ignore:Parameter `owners` of initializer `SensorDefinition"),
    pytest.mark.filterwarnings("ignore:Static method `Definitions.merge` is experimental"),  # in Dagster 1.9
]

NEWEST_ONLY = {"component.md"}
"""Pages about what the oldest supported Dagster does not have."""


def pages() -> list[Any]:
    """A test for each page that has blocks."""
    return [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT)),
            marks=[pytest.mark.newest_only] if page.name in NEWEST_ONLY else [],
        )
        for page in PAGES
        if blocks(page)
    ]


@pytest.mark.parametrize("page", pages())
def test_every_block_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    directory = tmp_path / "reader"
    directory.mkdir()
    monkeypatch.chdir(directory)
    reader = Reader(directory, dict(os.environ), _loader(monkeypatch))
    _what_pages_find(page, directory)
    wrong = [told for block in blocks(page) if (told := _told(reader, block))]
    capfd.readouterr()  # the events of runs would hide what is wrong
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def _told(reader: Reader, block: Block) -> str | None:
    """What is wrong with a block; the others are still run."""
    try:
        reader.run(block)
    except Wrong as error:
        return f"{block.place}: {error}"
    except Exception:
        return f"{block.place}: the block does not run\n{traceback.format_exc()}"
    return None


def _what_pages_find(page: Path, directory: Path) -> None:
    """What a page takes for granted beside the project `starbake`."""
    if page.parent == EXAMPLE:
        shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("datasets"), dirs_exist_ok=True)
    if page.name == "migration.md":
        (directory / "dags" / "generated").mkdir(parents=True)
        graph = StarlakeProject(EXAMPLE / "starbake", env="DUCKDB").graph
        text = generated.new_load(generated.schedules(graph, ["starbake.Orders"]))
        (directory / "dags" / "generated" / "load.py").write_text(text)


def _loader(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, dict[str, Any]], dg.Definitions] | None:
    if not _compat.has_components():
        return None

    def load(project: Path, defs_yaml: dict[str, Any]) -> dg.Definitions:
        from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
        from dagster.components.testing import create_defs_folder_sandbox

        from starlake_dagster_assets import StarlakeProjectComponent

        # a job that another test took from its definitions leaves Dagster in the belief that all loading is reloading
        monkeypatch.setattr(DefinitionsLoadContext, "_instance", None)
        monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")  # the state is made as the definitions are loaded
        with create_defs_folder_sandbox() as sandbox:
            shutil.copytree(project, sandbox.project_root / "starbake")
            path = sandbox.scaffold_component(component_cls=StarlakeProjectComponent, defs_yaml_contents={**defs_yaml})
            with sandbox.load_component_and_build_defs(path) as (_, defs):
                return defs

    return load
