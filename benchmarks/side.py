"""The process of one side: calls a function of `benchmarks.sides` and prints what its parts took.

python -m benchmarks.side MODULE:FUNCTION WORK '{"argument": 1}'
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import warnings
from pathlib import Path

from benchmarks.measure import ABSENT, MARK, Meter, NotMeasured, cpu_seconds


def main() -> None:
    """The function is given a `Meter` and a directory."""
    name, work, given = sys.argv[1:]
    module, _, function = name.partition(":")
    warnings.simplefilter("ignore")
    meter = Meter()
    try:
        getattr(importlib.import_module(f"benchmarks.sides.{module}"), function)(meter, Path(work), **json.loads(given))
    except NotMeasured as absent:
        print(f"{ABSENT}{absent}")
        return
    found = {"parts": meter.parts, "notes": meter.notes, "process": cpu_seconds(), "peak": _peak()}
    sys.stdout.write(f"\n{MARK}{json.dumps(found)}\n")
    sys.stdout.flush()


def _peak() -> int:
    """Peak memory of this process; `ru_maxrss` would also count what its parent had when it was started."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(text.split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
