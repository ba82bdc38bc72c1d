"""docs/airflow.md: its commands run, and the parts of files that it shows are in the files that they write."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")


def test_the_page_shows_what_its_command_writes(tmp_path):
    ignored = shutil.ignore_patterns("datasets")
    shutil.copytree(ROOT / "example_project" / "starbake", tmp_path / "starbake", ignore=ignored)
    (command,) = re.findall(r"<!-- test-command: [\w-]+ -->\n```sh\nstarlake-dagster (.*)\n```", PAGE)
    program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()"]
    subprocess.run([*program, *shlex.split(command)], cwd=tmp_path, check=True, capture_output=True)
    shown = re.findall(r"<!-- test-file: ([\w.]+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 2
    for name, text in shown:
        assert text in (tmp_path / "dags" / name).read_text()


def test_the_page_names_every_option_of_the_command():
    program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()"]
    told = subprocess.run([*program, "airflow", "export", "--help"], check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"--[a-z]+", told)) - {"--help", "--out", "--env", "--no"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()
