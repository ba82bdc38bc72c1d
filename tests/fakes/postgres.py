"""A real PostgreSQL server for the tests, of the Debian package `postgresql` or of whatever is on the PATH."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PostgresServer", "find_binaries"]

USER = "starlake"
_BINARIES = Path("/usr/lib/postgresql")
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "listen_addresses": "127.0.0.1"}


def find_binaries() -> Path | None:
    """The directory of `initdb` and `postgres`; None where they are not installed."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass
class PostgresServer:
    """A server on a free port of this machine, with a password, run by an unprivileged user.

    Attributes:
        bin: The directory of its programs.
        password: Of its user `starlake`.
    """

    bin: Path
    password: str = field(default_factory=lambda: f"pw-{secrets.token_hex(8)}")

    def __enter__(self) -> PostgresServer:
        self._work = Path(tempfile.mkdtemp(prefix="starlake-postgres-"))
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            user = "postgres" if self._knows("postgres") else "nobody"
            shutil.chown(self._work, user)
            self._owner = {"user": user}
        pwfile = self._work / "password"
        pwfile.write_text(self.password)
        if self._owner:
            shutil.chown(pwfile, self._owner["user"])
        data = self._work / "data"
        login = [f"--username={USER}", f"--pwfile={pwfile}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"]
        self._run("initdb", f"--pgdata={data}", "--no-sync", *login)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self._work)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run(
            "pg_ctl", f"--pgdata={data}", "--wait", f"--log={self._work / 'log'}", f"--options={options}", "start"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", f"--pgdata={self._work / 'data'}", "--mode=immediate", "--wait", "stop")
        shutil.rmtree(self._work, ignore_errors=True)

    def url(self, database: str) -> str:
        """A SQLAlchemy URL."""
        return f"postgresql+psycopg://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def jdbc(self, database: str) -> str:
        """A JDBC URL, without user and password."""
        return f"jdbc:postgresql://127.0.0.1:{self.port}/{database}"

    def client(self, database: str) -> dict[str, Any]:
        """What runs SQL that is written to its stdin: argument list and environment."""
        argv = [str(self.bin / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        return {"argv": [*argv, "-U", USER, database], "env": {"PGPASSWORD": self.password}}

    def _run(self, program: str, *args: str) -> None:
        with (self._work / "stderr").open("a") as stderr:  # a pipe would be held by the server
            done = subprocess.run(
                [str(self.bin / program), *args],
                cwd=self._work,
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self._work), "USER": getpass.getuser()},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                check=False,
                **self._owner,
            )
        if done.returncode:
            raise RuntimeError(f"{program}: {(self._work / 'stderr').read_text()}")

    @staticmethod
    def _knows(user: str) -> bool:
        import pwd

        return user in {entry.pw_name for entry in pwd.getpwall()}
