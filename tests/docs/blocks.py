"""The fenced blocks of README.md, docs/ and the example's README, with the marks that stand above them.

Every block runs (`running.py`), unless a comment right above its fence says otherwise:

    <!-- not run: WHY -->      cannot be run here: needs a cloud, a registry, a browser
    <!-- file: PATH -->        is this file: written to the page's directory, for the blocks after it
    <!-- into: PATH -->        YAML that belongs into this file: put there for the blocks after it
    <!-- in: PATH -->          a part of this file, of the page's directory or of the repository
    <!-- exit: N -->           its last command ends with this code

`python -m tests.docs.blocks` lists what is not run.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "example_project" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARKS = ("not run", "file", "into", "in", "exit")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n`]*$")
_MARK = re.compile(r"^\s*<!-- (?P<name>[a-z ]+): (?P<value>.+?) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file.
        line: Of its fence, counted from 1.
        language: After the fence, such as `python`; empty where nothing is said.
        text: What stands between the fences, without their indentation.
        marks: Name and value of the comments above it.
    """

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """File and line, from the root of the repository."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        indent = fence["indent"]
        end = lines.index(f"{indent}```", at + 1)
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
        found.append(Block(page, at + 1, fence["language"], text, _marks(lines, at)))
        at = end + 1
    return found


def _marks(lines: list[str], fence: int) -> dict[str, str]:
    found: dict[str, str] = {}
    while fence and (mark := _MARK.match(lines[fence - 1])):
        found[mark["name"]] = mark["value"]
        fence -= 1
    return found


def main() -> None:
    """Prints the blocks that are not run, with the reason of each."""
    all_blocks = [block for page in PAGES for block in blocks(page)]
    for block in all_blocks:
        if reason := block.marks.get("not run"):
            print(f"{block.place}: {reason}")
    left = sum("not run" in block.marks for block in all_blocks)
    print(f"{len(all_blocks)} blocks, {left} of them not run by tests/docs.")


if __name__ == "__main__":
    main()
