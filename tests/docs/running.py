"""Runs the blocks of a page one after the other, as a reader would: in one directory, with one Python namespace."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject
from tests.docs.blocks import MARKS, ROOT, Block
from tests.fakes.servers import ended

EXAMPLE = ROOT / "example_project"
COMMANDS = {"starlake-dagster", "dagster", "python", "cd", "ls", "cat", "mkdir", "cp"}
"""What a block may start. Anything else could install, deploy or delete: it is marked as not run."""
COMPONENT = "starlake_dagster_assets.StarlakeProjectComponent"


class Wrong(Exception):
    """A block that does not do what its page says."""


class Reader:
    """Someone who works through a page.

    Args:
        directory: Where they are: empty at first. The example's project lies in it as `starbake`, its files delivered.
        environ: Of the commands.
        load_component: Gets the path of a project and the contents of a defs.yaml, and gives its definitions; None
            where Dagster has no components.
    """

    def __init__(
        self,
        directory: Path,
        environ: dict[str, str],
        load_component: Callable[[Path, dict[str, Any]], dg.Definitions] | None,
    ) -> None:
        self.root = self.cwd = directory
        scripts = str(Path(sys.executable).parent)
        self.environ = {**environ, "PATH": f"{scripts}{os.pathsep}{environ['PATH']}", "COLUMNS": "120"}
        self.names: dict[str, Any] = {"__name__": "page"}
        self.load_component = load_component
        shutil.copytree(EXAMPLE / "starbake", directory / "starbake", ignore=shutil.ignore_patterns("datasets"))

    def run(self, block: Block) -> None:
        """Runs a block.

        Raises:
            Wrong: With what is wrong and how it can be mended.
        """
        unknown = set(block.marks) - set(MARKS)
        if unknown:
            raise Wrong(f"unknown mark {sorted(unknown)}: a block runs without one; there are {', '.join(MARKS)}")
        if "not run" in block.marks:
            return
        if "in" in block.marks:
            return self._is_in(block)
        kinds = {
            "python": self._python,
            "sh": self._shell,
            "console": self._shell,
            "yaml": self._yaml,
            "text": lambda _: None,  # what the program says: test_messages.py
            "json": lambda block: json.loads(block.text),
        }
        if "file" in block.marks:
            self._write(block.marks["file"], block.text)
            if block.language not in ("yaml", "python"):
                return None
        run = kinds.get(block.language)
        if run is None:
            raise Wrong(
                f"a block of {block.language or 'no language'}: say `<!-- in: FILE -->` above it where it is a part of "
                "a file, make it a `console` block where it is the output of a command, or `<!-- not run: WHY -->`"
            )
        shutil.copytree(
            EXAMPLE / "deliveries" / "day1", self.root / "starbake" / "datasets" / "incoming", dirs_exist_ok=True
        )
        run(block)

    # ------------------------------------------------------------------------------------------------------- python

    def _python(self, block: Block) -> None:
        there = {id(value) for value in self.names.values()}
        os.chdir(self.cwd)  # a test that calls this restores its own
        code = "\n" * block.line + block.text  # so that a traceback names the line of the page
        exec(compile(code, str(block.page), "exec"), self.names)
        for name, value in list(self.names.items()):
            if isinstance(value, dg.Definitions) and id(value) not in there:
                dg.Definitions.validate_loadable(value)
                if name == "defs" and isinstance((value.resources or {}).get("starlake"), StarlakeDuckDB):
                    _materialize(value)

    # --------------------------------------------------------------------------------------------------------- yaml

    def _yaml(self, block: Block) -> None:
        found = yaml.safe_load(block.text)
        if not isinstance(found, dict):
            raise Wrong("YAML without keys")
        if "into" in block.marks:
            path = self.root / block.marks["into"]
            if not path.exists():
                raise Wrong(f"the example has no file {block.marks['into']}")
            self._write(block.marks["into"], yaml.safe_dump(_merged(yaml.safe_load(path.read_text()), found)))
            return self._check(Path(block.marks["into"]))
        if "attributes" in found:
            return self._component(found)
        if found.keys() & {"concurrency", "run_queue", "storage"}:
            return _instance(self.root, block.text)
        if "file" in block.marks:
            return self._check(Path(block.marks["file"]))
        raise Wrong(
            f"YAML with {', '.join(map(str, found))}: say which file it is, `<!-- file: PATH -->`, or into which it "
            "belongs, `<!-- into: PATH -->`"
        )

    def _component(self, found: dict[str, Any]) -> None:
        if self.load_component is not None:
            self.load_component(self.root / "starbake", {"type": COMPONENT, **found})

    def _check(self, path: Path) -> None:
        """A file of a Starlake project: the project has no problem in it."""
        if "metadata" not in path.parts:
            return
        directory = Path(*path.parts[: path.parts.index("metadata")])
        inside = path.relative_to(directory).as_posix()
        problems = StarlakeProject(self.root / directory, env="DUCKDB").problems
        said = [str(problem) for problem in problems if str(problem.file) == inside]
        if said:
            raise Wrong(f"`starlake-dagster check` has something to say about {inside}:\n" + "\n".join(said))

    def _write(self, name: str, text: str) -> None:
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    # -------------------------------------------------------------------------------------------------------- shell

    def _shell(self, block: Block) -> None:
        wanted = int(block.marks.get("exit", 0))
        steps = list(_commands(block))
        if not steps:
            raise Wrong("no command: a `console` block has `$ ` before each command")
        for number, (command, shown) in enumerate(steps):
            code, printed = self._command(command)
            expected = wanted if number == len(steps) - 1 else 0
            if code != expected:
                raise Wrong(f"`{command}` ended with {code}, not {expected}:\n{printed}")
            missing = _first_missing(shown, printed)
            if missing is not None:
                raise Wrong(f"`{command}` does not print\n    {missing}\nbut\n{printed}")

    def _command(self, command: str) -> tuple[int, str]:
        words = [word for word in shlex.split(command, comments=True) if not re.match(r"\w+=", word)]
        if not words or words[0] not in COMMANDS:
            raise Wrong(f"`{command}` is not run by tests: say `<!-- not run: WHY -->` above the block")
        if words[:2] == ["dagster", "dev"]:
            return self._server(command)
        after = self.root / ".cwd"
        script = f"{command}\nstatus=$?; pwd > {shlex.quote(str(after))}; exit $status"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.cwd = Path(after.read_text().strip())
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def _server(self, command: str) -> tuple[int, str]:
        """`dagster dev`: until its UI answers."""
        (self.root / "dagster_home").mkdir(exist_ok=True)
        environ = {**self.environ, "DAGSTER_HOME": str(self.root / "dagster_home")}
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.cwd,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        printed: list[str] = []
        try:
            for line in server.stdout or ():
                printed.append(line)
                if found := re.search(r"Serving dagster-webserver on (http://[\w.:]+)", line):
                    return (0 if _answers(f"{found[1]}/server_info") else 1), "".join(printed)
            return server.wait() or 1, "".join(printed)
        finally:
            ended(server)

    def _is_in(self, block: Block) -> None:
        name = block.marks["in"]
        path = next((path for path in (self.cwd / name, ROOT / name) if path.is_file()), None)
        if path is None:
            raise Wrong(f"there is no file {name}, neither made by the blocks above nor in the repository")
        text = path.read_text(encoding="utf-8")
        if block.text not in text:
            raise Wrong(f"{name} does not have this part; it has\n{text}")


def _answers(url: str) -> bool:
    """Whether a server that has said its address answers, within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=10).close()
            return True
        time.sleep(0.2)
    return False


def _commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the output shown under it; in a `sh` block every line is one."""
    text = block.text.replace("\\\n", "")
    if block.language == "sh":
        yield from ((line, []) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
        return
    command, shown = None, list[str]()
    for line in text.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line.rstrip())
    if command is not None:
        yield command, shown


def _first_missing(shown: list[str], printed: str) -> str | None:
    """The first shown line that does not come in its turn; `…` stands for anything."""
    lines = iter(line.rstrip() for line in printed.splitlines())
    for wanted in shown:
        if not wanted.strip("… "):
            continue
        pattern = re.compile(".*".join(re.escape(piece) for piece in wanted.split("…")))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def _materialize(defs: dg.Definitions) -> None:
    """All assets once: what the page promises really lands."""
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    if not {"starbake/Customers", "starbake/Orders"} <= made:
        raise Wrong(f"`defs` made {sorted(made)}: the loaded tables starbake/Customers and starbake/Orders are missing")


def _instance(root: Path, text: str) -> None:
    """A dagster.yaml: an instance takes it."""
    home = root / "instance"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(text, encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_concurrency_config() if hasattr(instance, "get_concurrency_config") else instance.run_coordinator


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
