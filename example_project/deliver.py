"""Plays Starbake's systems: puts the files of a day where the project expects them, in `datasets/incoming`.

    python example_project/deliver.py               # both days
    python example_project/deliver.py --day 2       # one day
    python example_project/deliver.py --reset       # delete all loaded data, then deliver

The files are copies: `deliveries` stays as it is, and `datasets` is ignored by git.
"""

import argparse
import shutil
from pathlib import Path

__all__ = ["DAYS", "deliver", "main"]

HERE = Path(__file__).parent
DAYS = ("1", "2")


def deliver(day: str = "all", *, project: Path = HERE / "starbake", reset: bool = False) -> list[Path]:
    """Copies the files of a day into the project's incoming directories.

    Args:
        day: `1`, `2` or `all`.
        project: The Starlake project.
        reset: Delete `datasets` first: the DuckDB file, the archive and files not loaded yet.

    Returns:
        The files delivered, oldest first.
    """
    datasets = project / "datasets"
    if reset:
        shutil.rmtree(datasets, ignore_errors=True)
    delivered: list[Path] = []
    for name in DAYS if day == "all" else (day,):
        source = HERE / "deliveries" / f"day{name}"
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            target = datasets / "incoming" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            delivered.append(Path(shutil.copyfile(file, target)))
    return delivered


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", choices=(*DAYS, "all"), default="all", help="which day's files (default: all)")
    parser.add_argument("--project", type=Path, default=HERE / "starbake", help="the Starlake project")
    parser.add_argument("--reset", action="store_true", help="delete the project's datasets directory first")
    options = parser.parse_args()
    files = deliver(options.day, project=options.project, reset=options.reset)
    print(f"{len(files)} files delivered to {options.project / 'datasets' / 'incoming'}")


if __name__ == "__main__":
    main()
