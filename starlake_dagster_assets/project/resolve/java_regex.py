"""Translates Java regular expressions, as in `pattern` and `refs`, to Python."""

from __future__ import annotations

import re
import sys
from functools import lru_cache

__all__ = ["compile_java", "java_to_python"]

_LETTERS = r"a-zA-Z\xAA\xB5\xBA\xC0-\xD6\xD8-\xF6\xF8-\u02FF\u0370-\u1FFF\u2C00-\uD7FF\uF900-\uFDFF"
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7F",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1F\x7F",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0B\f\r",
    "L": _LETTERS,
    "IsAlphabetic": _LETTERS,
    "IsLetter": _LETTERS,
    "Lu": "A-ZÀ-ÖØ-Þ",
    "IsUppercase": "A-ZÀ-ÖØ-Þ",
    "Ll": "a-zß-öø-ÿ",
    "IsLowercase": "a-zß-öø-ÿ",
    "N": r"\d",
    "Nd": r"\d",
    "IsDigit": r"\d",
}
_SIMPLE = {"h": r" \t\xA0\u1680\u2000-\u200A\u202F\u205F\u3000", "v": r"\n\x0B\f\r\x85\u2028\u2029"}
_POSSESSIVE = sys.version_info >= (3, 11)
_FLAGS = {"d": "", "u": "", "U": ""}


@lru_cache(maxsize=4096)
def compile_java(pattern: str) -> re.Pattern[str]:
    r"""Compiles a Java regular expression.

    Args:
        pattern: A `java.util.regex` pattern. Use `fullmatch` on a file name, as Starlake does.

    Returns:
        The Python pattern. `\d`, `\w` and `\s` are ASCII, as in Java.

    Raises:
        ValueError: When it is not a valid pattern, with Python's reason and position.

    Example:
        >>> bool(compile_java(r"\p{Alpha}++-(?<day>\d{8})\Q.csv\E").fullmatch("orders-20240101.csv"))
        True
    """
    try:
        return re.compile(java_to_python(pattern), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def java_to_python(pattern: str) -> str:
    r"""Translates a Java pattern to Python's syntax.

    Args:
        pattern: A Java pattern.

    Returns:
        The text for `re.compile`.

    Raises:
        ValueError: When a class such as `\p{…}` is not known.
    """
    return _Translation(pattern).run()


class _Translation:
    """Translation of a pattern, character by character."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._depth = 0

    def run(self) -> str:
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\":
                self._escape()
            elif char == "[":
                self._open_class()
            elif char == "]" and self._depth:
                self._depth -= 1
                self._emit("]", 1)
            elif self._depth:
                self._in_class(char)
            elif char == "(":
                self._group()
            elif char in "*+?}":
                self._quantifier(char)
            else:
                self._emit(char, 1)
        return "".join(self._out)

    def _emit(self, text: str, used: int) -> None:
        self._out.append(text)
        self._at += used

    def _escape(self) -> None:
        rest = self._text[self._at + 1 :]
        if rest.startswith("Q"):
            end = rest.find("\\E")
            literal = rest[1:] if end < 0 else rest[1:end]
            self._emit(re.escape(literal), 1 + (len(rest) if end < 0 else end + 2))
            return
        named = re.match(r"([pP])(?:\{(\^?)(?:Is(?=[A-Z][a-z]?\}))?(\w+)\}|([A-Z]))", rest)
        if named:
            self._property(named)
        elif rest[:1] in _SIMPLE:
            self._emit(_SIMPLE[rest[0]] if self._depth else f"[{_SIMPLE[rest[0]]}]", 2)
        elif rest.startswith("k<"):
            name = rest[2 : rest.find(">")] if ">" in rest else rest[2:]
            self._emit(f"(?P={name})", 4 + len(name))
        elif rest.startswith("R"):
            self._emit(r"(?:\r\n|[\n\x0B\f\r\x85\u2028\u2029])", 2)
        else:
            self._plain_escape(rest)

    def _plain_escape(self, rest: str) -> None:
        special = {"z": r"\Z", "e": r"\x1B", "G": ""}
        if rest[:1] in special:
            self._emit(special[rest[0]], 2)
        elif rest.startswith("x{") and "}" in rest:
            code = rest[2 : rest.index("}")]
            self._emit(re.escape(chr(int(code, 16))), 3 + len(code) + 1)
        elif rest.startswith("Z"):
            self._emit(r"(?=\n?\Z)", 2)
        elif rest[:1] and not rest[0].isalnum():
            self._emit(re.escape(rest[0]), 2)
        else:
            self._emit("\\" + rest[:1], 2)

    def _property(self, match: re.Match[str]) -> None:
        name = match[3] or match[4]
        chars = _POSIX.get(name)
        if chars is None:
            raise ValueError(f"unknown character class \\{match[1]}{{{name}}}")
        negative = (match[1] == "P") != (match[2] == "^")
        if not self._depth:
            text = f"[{'^' if negative else ''}{chars}]"
        elif negative:
            text = _inside_negative(chars)
        else:
            text = chars
        self._emit(text, 1 + match.end())

    def _open_class(self) -> None:
        if self._depth:
            raise ValueError(f"a class inside a class is not supported (position {self._at})")
        self._depth = 1
        self._emit("[", 1)
        if self._text[self._at : self._at + 1] == "^":
            self._emit("^", 1)

    def _in_class(self, char: str) -> None:
        if self._text.startswith("&&", self._at):
            raise ValueError(f"a class intersection (&&) is not supported (position {self._at})")
        self._emit("\\" + char if char in "&~|" or self._text.startswith("--", self._at) else char, 1)

    def _group(self) -> None:
        rest = self._text[self._at :]
        named = re.match(r"\(\?<([a-zA-Z][a-zA-Z0-9]*)>", rest)
        flags = re.match(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])", rest)
        if named:
            self._emit(f"(?P<{named[1]}>", named.end())
        elif rest.startswith("(?>"):
            self._emit("(?>" if _POSSESSIVE else "(?:", 3)
        elif flags and (flags[1] or flags[2]):
            self._flags(flags)
        else:
            self._emit("(", 1)

    def _flags(self, match: re.Match[str]) -> None:
        on = "".join(flag for flag in match[1] if flag not in _FLAGS)
        off = "".join(flag for flag in match[2] or "" if flag not in _FLAGS)
        text = on + (f"-{off}" if off else "")
        self._at += match.end()
        if match[3] == ":":
            self._out.append(f"(?{text}:")
        elif text and not "".join(self._out):
            self._out.append(f"(?{text})" if not off else "")
        elif text:
            # Java's flags hold to the end of the group, Python's only at the start of a pattern
            rest = self._text[self._at :]
            end = _group_end(rest)
            self._out.append(f"(?{text}:{java_to_python(rest[:end])})")
            self._at += end

    def _quantifier(self, char: str) -> None:
        self._emit(char, 1)
        if self._text[self._at : self._at + 1] == "+" and self._is_quantifier(char):
            self._emit("+" if _POSSESSIVE else "", 1)

    def _is_quantifier(self, char: str) -> bool:
        if char != "}":
            return True
        return re.search(r"\{\d+(?:,\d*)?\}$", self._text[: self._at]) is not None


def _inside_negative(chars: str) -> str:
    codes = re.compile(f"[{chars}]", re.ASCII)
    parts: list[str] = []
    start = None
    for code in range(0x10000):
        outside = codes.match(chr(code)) is None
        if outside and start is None:
            start = code
        elif not outside and start is not None:
            parts.append(f"\\u{start:04x}-\\u{code - 1:04x}")
            start = None
    return "".join(parts) + (f"\\u{start:04x}-\\uffff" if start is not None else "")


def _group_end(text: str) -> int:
    """Returns the position at which the group around `text` ends."""
    depth = 0
    skip = False
    in_class = False
    for index, char in enumerate(text):
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth < 0:
                return index
    return len(text)
