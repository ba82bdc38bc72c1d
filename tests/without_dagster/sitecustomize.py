"""Forbids the import of Dagster in every process that has this directory on its path."""

import sys
from importlib.abc import MetaPathFinder


class NoDagster(MetaPathFinder):
    """Refuses Dagster and its libraries."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0].partition("_")[0] == "dagster":
            raise ModuleNotFoundError(
                f"{fullname} is imported by a test that runs without Dagster: name its file in WITH_DAGSTER of "
                "tests/conftest.py, or import Dagster only where it is needed",
                name=fullname,
            )


sys.meta_path.insert(0, NoDagster())
