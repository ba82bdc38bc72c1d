"""Real Airflows, each in an environment of its own that is made when it is first needed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

__all__ = ["AIRFLOWS", "Airflow", "Home", "until"]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
_MINUTES = 60.0
_TIMEOUT = 10 * _MINUTES
_SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, long enough for the algorithm that signs with it",
    "AIRFLOW__CORE__INTERNAL_API_SECRET_KEY": "of the tests",
}


@dataclass(frozen=True)
class Airflow:
    """One version of Airflow.

    Attributes:
        major: 2 or 3.
        requirements: What is installed.
    """

    major: int
    requirements: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Its virtual environment."""
        return ROOT / f".venv-airflow-{self.major}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.path / "bin" / "python"

    def install(self) -> Airflow:
        """Makes the environment, unless it is there with these very requirements."""
        key = hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()
        mark = self.path / "installed"
        with FileLock(str(self.path) + ".lock"):
            if not mark.exists() or mark.read_text() != key:
                shutil.rmtree(self.path, ignore_errors=True)
                _uv("venv", "--quiet", "--python", ">=3.10,<3.13", str(self.path))
                _uv("pip", "install", "--quiet", "--no-config", "--python", str(self.python), *self.requirements)
                self._database()
                mark.write_text(key)
        return self

    def home(self, work: Path, dags: Path) -> Home:
        """An `AIRFLOW_HOME` with an empty, current database."""
        work.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.path / "airflow.db", work / "airflow.db")
        return Home(self, work, dags)

    def read(self, *folders: Path) -> dict[str, Any]:
        """What Airflow understood of folders of DAG files, by folder; see `inside`."""
        home = Home(self, folders[0].parent / f"home{self.major}", folders[0])
        done = home.run(HERE / "inside.py", *map(str, folders))
        return json.loads(done.stdout.strip().splitlines()[-1])

    def _database(self) -> None:
        home = Home(self, self.path / "home", self.path / "no_dags")
        home.airflow("db", "migrate")
        shutil.move(self.path / "home" / "airflow.db", self.path / "airflow.db")


@dataclass(frozen=True)
class Home:
    """An `AIRFLOW_HOME`.

    Attributes:
        airflow_: Of which version.
        path: The directory.
        dags: Folder of the DAG files.
    """

    airflow_: Airflow
    path: Path
    dags: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its processes."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "DAGSTER"))
        }
        own = {"AIRFLOW_HOME": str(self.path), "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags)}
        place = f"{self.airflow_.path / 'bin'}:{os.environ['PATH']}"
        return {**kept, **_SETTINGS, **own, "PATH": place}

    def run(self, script: Path, *args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a script inside the environment."""
        return self._run([str(self.airflow_.python), str(script), *args], env)

    def airflow(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command of Airflow."""
        return self._run([str(self.airflow_.python), "-m", "airflow", *args], env)

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a service of Airflow; its output goes to a file of its name."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / f"{args[0]}.out").open("wb") as out:
            return subprocess.Popen(
                [str(self.airflow_.python), "-m", "airflow", *args],
                env={**self.environ, **(env or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _run(self, argv: Sequence[str], env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            argv,
            env={**self.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
        assert done.returncode == 0, f"{' '.join(argv)[-300:]}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done


def until(found: Any, seconds: float, otherwise: Any) -> Any:
    """What a function gives once it gives something; fails with what another one says after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.5)
    raise AssertionError(otherwise())


def _uv(*args: str) -> None:
    here = Path(sys.executable).parent / "uv"
    uv = str(here) if here.exists() else shutil.which("uv") or str(ROOT / ".venv" / "bin" / "uv")
    subprocess.run([uv, *args], check=True, capture_output=True, text=True, timeout=5 * _MINUTES)


_BOTH = (
    "apache-airflow-providers-standard==1.21.0",
    "apache-airflow-providers-amazon==9.39.0",
    "apache-airflow-providers-cncf-kubernetes==10.25.0",
    "airflow-provider-duckdb==0.2.0",
    "duckdb==1.5.6",
    "dagster-airlift[in-airflow]==0.29.27",
)
AIRFLOWS = {
    2: Airflow(2, ("apache-airflow==2.11.2", "apache-airflow-providers-google==22.1.0", *_BOTH)),
    3: Airflow(3, ("apache-airflow==3.3.2", "apache-airflow-providers-google==22.8.0", *_BOTH)),
}
