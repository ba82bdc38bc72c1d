"""docs/airflow.md names every option of the command; tests/docs runs its blocks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")


def test_the_page_names_every_option_of_the_command():
    program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()"]
    told = subprocess.run([*program, "airflow", "export", "--help"], check=True, capture_output=True, text=True).stdout
    options = set(re.findall(r"--[a-z]+", told)) - {"--help", "--out", "--env", "--no"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()
