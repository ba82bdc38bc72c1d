"""Files that are replaced at once, so that no reader sees half of one.

The worker of exported Airflow DAGs has its own code for it (`airflow/tries.py`): it imports nothing of this package.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["replaced_file"]


@contextmanager
def replaced_file(path: Path) -> Generator[Path]:
    """Replaces a file by what the block writes; a block that fails leaves the file as it is.

    Args:
        path: The file; its directory exists.

    Yields:
        The path to write to: a hidden file in the same directory.
    """
    part = path.with_name(f".sl-{uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
