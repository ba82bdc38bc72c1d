"""Runs inside an environment of Airflow: `airflow dags test DAG_ID DATE` for each DAG, in one process."""

from __future__ import annotations

import sys

from airflow.cli import cli_parser


def main(date: str, *dags: str) -> None:
    """The command for each DAG; the first that fails ends it."""
    parser = cli_parser.get_parser()
    for dag in dags:
        args = parser.parse_args(["dags", "test", dag, date])
        args.func(args)


if __name__ == "__main__":
    main(*sys.argv[1:])
