"""Log lines for people: one line a record, in colours, with its context after the message."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

__all__ = ["ConsoleRenderer", "wants_colour"]

_COLOURS: Final[Mapping[str, str]] = {
    "DEBUG": "\x1b[2m",
    "INFO": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}
_DIM, _BOLD, _RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_EVENT_WIDTH: Final = 32

#: Said by the line already, or of no use on a terminal.
_HIDDEN: Final = frozenset(
    {"timestamp", "level", "logger", "message", "service", "file", "line", "function", "exception", "span_id"}
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[^\s=\"']+\Z")


def wants_colour(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a terminal wants colours: neither ``NO_COLOR`` nor ``TERM=dumb`` is set."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class ConsoleRenderer:
    """Renders JSON lines as text; what is no record stays as it is.

    Control characters are shown and not sent, so that a record cannot move the cursor or imitate another one.
    """

    def __init__(self, *, colour: bool = True) -> None:
        self._paint: Callable[[str, str], str] = _painted if colour else _unpainted

    def __call__(self, line: bytes) -> bytes:
        """Return a line as text; both end with a line end."""
        try:
            record = orjson.loads(line)
            if isinstance(record, dict):
                return f"{self._render(record)}\n".encode("utf-8", "replace")
        except (orjson.JSONDecodeError, ValueError):
            pass
        return line

    def _render(self, record: dict[str, Any]) -> str:
        paint = self._paint
        level = str(record.get("level", ""))
        clock = str(record.get("timestamp", ""))[11:23]
        message = _visible(str(record.get("message", "")))
        pairs = [
            f"{paint(_visible(name), _DIM)}={_shown(value)}"
            for name, value in record.items()
            if name not in _HIDDEN and value is not None
        ]
        width = _EVENT_WIDTH if pairs else 0
        parts = [
            paint(clock, _DIM),
            paint(f"{level:<8}", _COLOURS.get(level, "")),
            paint(_visible(str(record.get("logger", ""))), _DIM),
            paint(f"{message:<{width}}", _BOLD),
            *pairs,
        ]
        text = " ".join(parts)
        exception = record.get("exception")
        if isinstance(exception, dict):
            stack = str(exception.get("stack", ""))
            text += "".join(f"\n    {_visible(row)}" for row in stack.splitlines())
        return text


def _painted(text: str, colour: str) -> str:
    return f"{colour}{text}{_RESET}" if colour else text


def _unpainted(text: str, colour: str) -> str:
    return text


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return _visible(value) if _PLAIN.match(value) else orjson.dumps(_visible(value)).decode()
    return _visible(orjson.dumps(value).decode())
