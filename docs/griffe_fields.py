"""For the API reference: fields of resources with their defaults, and examples as code.

Resources are pydantic models, whose fields are described where they are declared and not in docstrings.
"""

from importlib import import_module
from typing import Any

import griffe
from pydantic import BaseModel

__all__ = ["Fields"]


class Fields(griffe.Extension):
    """What mkdocstrings does not find in the source by itself."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Turns what stands after `::` in a docstring into a block of Python; adds the fields of a pydantic model."""
        if obj.docstring is None:
            return
        obj.docstring.value = _with_code(obj.docstring.value)
        model = _model(obj) if isinstance(obj, griffe.Class) else None
        described = {name: field for name, field in (model.model_fields if model else {}).items() if field.description}
        if not described:
            return
        rows = [f"| `{name}` | {_cell(field.description)} | {_default(field)} |" for name, field in described.items()]
        table = "\n".join(["| field | | default |", "|---|---|---|", *rows])
        summary, _, rest = obj.docstring.value.partition("\n\n")
        obj.docstring.value = f"{summary}\n\n{table}\n\n{rest}".rstrip()


def _model(obj: griffe.Class) -> type[BaseModel] | None:
    found = getattr(import_module(obj.module.path), obj.name, None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, [], {}, "") else f"`{value}`" if isinstance(value, (str, int, float)) else ""


def _with_code(text: str) -> str:
    """An indented block after `::` becomes a fenced one."""
    lines, out = text.splitlines(), list[str]()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.rstrip().endswith("::"):
            out.append(line)
            continue
        indent = len(line) - len(line.lstrip())
        said = line.rstrip()[:-2]
        block: list[str] = []
        while at < len(lines) and (not lines[at].strip() or len(lines[at]) - len(lines[at].lstrip()) > indent):
            block.append(lines[at][4:])
            at += 1
        pad = " " * indent
        out += [f"{said}:", ""] if said.strip() else []
        code = "\n".join(block).strip("\n").splitlines()
        out += [f"{pad}```python", *code, f"{pad}```", ""]
    return "\n".join(out)
