"""Exceptions as text and as frames, bounded in every direction and safe to show.

Python's own formatter shows absolute paths, walks a thousand frames of a runaway recursion one by one, and fails when
``__str__`` of an exception does. Logs and errors need none of that: a stack here has at most 50 frames an exception,
8 exceptions a chain and 5 members a group, with paths relative to what is importable. Local variables never show.
"""

from __future__ import annotations

import linecache
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from bedplate.telemetry.redaction import Redactor, describe

__all__ = ["Frame", "chain", "frames", "in_app", "qualified_name", "render", "short_path"]

_HEAD, _TAIL = 10, 40
_MAX_CHAIN = 8
_MAX_GROUP = 5
_MAX_MESSAGE = 2_000
_MAX_SOURCE = 200

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_LIBRARIES = tuple(
    {f"{path}/" for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


@dataclass(frozen=True, slots=True)
class Frame:
    """One call in a stack; ``in_app`` tells the service's own code from libraries, Bedplate's included."""

    module: str
    function: str
    file: str
    line: int
    path: str
    in_app: bool

    @property
    def source(self) -> str:
        """The line of code, stripped, or an empty string when the file cannot be read."""
        return linecache.getline(self.path, self.line).strip()[:_MAX_SOURCE]


@lru_cache(maxsize=4096)
def short_path(path: str) -> str:
    """Return a file's path below the import root or working directory that holds it: ``ledger/reports.py``."""
    if path.startswith("<"):
        return path
    roots = (root for root in (*sys.path, str(Path.cwd())) if root and path.startswith(root.rstrip("/") + "/"))
    root = max(roots, key=len, default="")
    return path[len(root.rstrip("/")) + 1 :] if root else "/".join(path.rsplit("/", 3)[1:])


@lru_cache(maxsize=4096)
def in_app(path: str) -> bool:
    """Return whether a file belongs to the service rather than to Python, a library or Bedplate."""
    if path.startswith("<frozen") or "/site-packages/" in path or "/dist-packages/" in path:
        return False
    return not path.startswith((*_LIBRARIES, f"{_PACKAGE}/"))


def qualified_name(kind: type) -> str:
    """Return ``module.Class``, without ``builtins``."""
    module = getattr(kind, "__module__", "")
    return kind.__qualname__ if module in ("builtins", "", None) else f"{module}.{kind.__qualname__}"


def frames(traceback: TracebackType | None) -> tuple[list[Frame], int]:
    """Return the frames, outermost first, and how many were left out in the middle."""
    steps: list[TracebackType] = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    cut = max(0, len(steps) - _HEAD - _TAIL)
    if cut:
        steps[_HEAD : _HEAD + cut] = []
    return [_frame(step) for step in steps], cut


def chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """Return the exception and what led to it, newest first, each with the sentence that links it to its effect."""
    links = [(error, "")]
    seen = {id(error)}
    while len(links) < _MAX_CHAIN:
        newest = links[-1][0]
        if newest.__cause__ is not None:
            before, sentence = newest.__cause__, _CAUSE
        elif newest.__context__ is not None and not newest.__suppress_context__:
            before, sentence = newest.__context__, _CONTEXT
        else:
            break
        if id(before) in seen:
            break
        seen.add(id(before))
        links.append((before, sentence))
    return links


def render(error: BaseException, limit: int = 32_768, *, redactor: Redactor) -> str:
    """Return the exception with its causes and stacks as text, oldest first, as Python prints it, without secrets.

    :param limit: characters; what is too much is cut out of the middle.
    """
    text = "\n".join(_lines(error, redactor, depth=0))
    if len(text) <= limit:
        return text
    head = limit // 3
    return f"{text[:head]}\n… [{len(text) - limit} characters cut] …\n{text[head - limit :]}"


def _frame(step: TracebackType) -> Frame:
    code = step.tb_frame.f_code
    module = step.tb_frame.f_globals.get("__name__")
    return _known(module if isinstance(module, str) else "", code.co_qualname, code.co_filename, step.tb_lineno or 0)


@lru_cache(maxsize=8192)
def _known(module: str, function: str, path: str, line: int) -> Frame:
    # Errors come in storms, and those of one kind pass the same lines.
    return Frame(module, function, short_path(path), line, path, in_app(path))


def _lines(error: BaseException, redactor: Redactor, depth: int) -> Iterator[str]:
    links = chain(error)
    for position in range(len(links) - 1, -1, -1):
        yield from _exception(links[position][0], redactor, depth)
        if links[position][1]:
            yield f"\n{links[position][1]}\n"


def _exception(error: BaseException, redactor: Redactor, depth: int) -> Iterator[str]:
    stack, cut = frames(error.__traceback__)
    if stack:
        yield "Traceback (most recent call last):"
    for index, frame in enumerate(stack):
        if cut and index == _HEAD:
            yield f"  … {cut} frames left out …"
        yield f'  File "{frame.file}", line {frame.line}, in {frame.function}'
        if source := frame.source:
            yield f"    {redactor.recurring(source)}"
    message = redactor.text(describe(error), _MAX_MESSAGE)
    name = qualified_name(type(error))
    yield f"{name}: {message}" if message else name
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        yield from (redactor.text(describe(note), _MAX_MESSAGE) for note in notes[:_MAX_GROUP])
    if isinstance(error, BaseExceptionGroup) and depth < 3:
        members = error.exceptions
        for number, member in enumerate(members[:_MAX_GROUP], 1):
            yield f"  + {number} of {len(members)}:"
            for block in _lines(member, redactor, depth + 1):
                yield from (f"  | {line}" for line in block.split("\n"))
        if len(members) > _MAX_GROUP:
            yield f"  + {len(members) - _MAX_GROUP} more"
