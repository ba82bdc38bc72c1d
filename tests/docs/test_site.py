"""The site of the documentation: builds without a warning, has every public name, loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import starlake_dagster_assets
from tests.docs.blocks import ROOT

newest_only = pytest.mark.newest_only  # the oldest supported Dagster is tested without the tools of the documentation


def build(config: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """`make docs`; with --quiet, --strict would see no warning."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", directory)
    assert done.returncode == 0, f"make docs:\n{done.stdout}{done.stderr}"
    return directory


class Elements(HTMLParser):
    """Ids of a page, and what it loads by itself."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        loads = given.get("src") if tag in ("script", "img", "iframe") else None
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            loads = given.get("href")
        self.loaded.add(loads or "")


@newest_only
@pytest.mark.parametrize("link", ["gone.md", "#gone", "other.md#gone", "images/gone.png"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n[link]({link})\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    config = tmp_path / "mkdocs.yml"
    nav = "docs_dir: docs\nnav: [index.md, other.md]\nplugins: [search]\nextra_css: []\n"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\n{nav}")
    done = build(config, tmp_path / "site")
    assert done.returncode == 1 and "Aborted with 1 warnings" in done.stdout, done.stdout + done.stderr


@newest_only
def test_every_public_name_is_in_the_reference(site: Path):
    ids = Elements(site / "reference.html").ids
    names = {*starlake_dagster_assets.__all__, "component.StarlakeProjectComponent"}
    assert not sorted(name for name in names if f"starlake_dagster_assets.{name}" not in ids)


@newest_only
def test_no_page_loads_anything_from_elsewhere(site: Path):
    pages = list(site.glob("*.html"))
    assert len(pages) > 25
    elsewhere = {
        (page.name, name) for page in pages for name in Elements(page).loaded if re.match(r"(https?:)?//", name)
    }
    assert not elsewhere


def test_the_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    inside = [link.split("#")[0] for link in links if not link.startswith("https://")]
    assert len(inside) > 10
    assert not [link for link in inside if not (ROOT / link).exists()]


def test_pictures_stay_small_and_are_shown():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000
    text = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert not [picture.name for picture in pictures if f"images/{picture.name}" not in text]
