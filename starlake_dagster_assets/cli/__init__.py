"""The command line `starlake-dagster`: one module per command, imported when the program starts.

- `check`, `doctor`, `embedded`, `graph`, `init`, `prepare`, `run`, `unit_tests`, `airflow`: one module per command
- `options`: options that commands share
- `run_report`: the output of `run`

Exit codes: 0 success; 1 problems of the project, or failures of a run; 2 invalid arguments; 3 internal error;
130 interrupted; 143 `run` was ended by SIGTERM.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from starlake_dagster_assets.errors import StarlakeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="starlake-dagster",
    help="Checks, runs and deploys Starlake projects as Dagster assets.",
    epilog="Exit codes: 0 success, 1 problems or failures, 2 invalid arguments, 3 internal error, 130 interrupted, "
    "143 ended by SIGTERM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the program; an error prints one message on stderr, or a traceback if `--debug` is given first."""
    debug = "--debug" in sys.argv[1:2]
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _print_warning
        _run(debug=debug)


def _run(*, debug: bool) -> None:
    try:
        _register()
        app()
    except StarlakeError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stdout = None
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print("This is a bug of starlake-dagster: `starlake-dagster --debug …` shows where.", file=sys.stderr)
        sys.exit(3)


def _print_warning(message: Warning | str, *_: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _register() -> None:
    """Adds the commands, in the order in which `--help` lists them; each is in the module of its name."""
    from starlake_dagster_assets.cli.airflow import register_airflow
    from starlake_dagster_assets.cli.check import register_check
    from starlake_dagster_assets.cli.doctor import register_doctor
    from starlake_dagster_assets.cli.embedded import register_embedded
    from starlake_dagster_assets.cli.graph import register_graph
    from starlake_dagster_assets.cli.init import register_init
    from starlake_dagster_assets.cli.prepare import register_prepare
    from starlake_dagster_assets.cli.run import register_run
    from starlake_dagster_assets.cli.unit_tests import register_unit_tests

    app.callback()(_program)
    for register in (
        register_init,
        register_check,
        register_unit_tests,
        register_graph,
        register_run,
        register_prepare,
        register_airflow,
        register_doctor,
        register_embedded,
    ):
        register(app)


def _version(asked: bool) -> None:
    if asked:
        from starlake_dagster_assets import __version__

        print(__version__)
        raise typer.Exit


def _program(
    debug: Annotated[
        bool, typer.Option("--debug", help="Shows the traceback of an error. Write it before the command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Prints the version and exits.")
    ] = False,
) -> None:
    """Checks, runs and deploys Starlake projects as Dagster assets."""
