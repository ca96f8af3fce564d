"""From an answer to a verdict: passed, warning or failed, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from bedplate.monitor.checks.items import Item, Value
from bedplate.monitor.checks.paths import MISSING, found

__all__ = ["Outcome", "Reply", "Result", "judged"]

Outcome = Literal["passed", "warning", "failed"]

#: A check that takes this many times longer than it may has failed.
_HOPELESS = 5.0
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered to one question; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def document(self) -> Any:
        """Return the JSON value, or :data:`MISSING` when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return MISSING


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a check.

    :ivar detail: why it is not passed. :ivar seconds: that its answer took, None when nothing was asked.
    """

    item: Item
    outcome: Outcome
    detail: str = ""
    seconds: float | None = None


def judged(item: Item, reply: Reply) -> Result:
    """Return the verdict on an answer."""
    faults = list(_faults(item, reply))
    warnings: list[str] = []
    if reply.seconds > item.within:
        slow = f"it took {reply.seconds:.2f} s, more than {item.within:g} s"
        (faults if reply.seconds > _HOPELESS * item.within else warnings).append(slow)
    document = reply.document() if item.values and not faults else MISSING
    for value in item.values if document is not MISSING else ():
        fault, tolerated = _difference(value, document)
        if fault:
            (warnings if tolerated else faults).append(fault)
    outcome: Outcome = "failed" if faults else "warning" if warnings else "passed"
    if faults and item.optional:
        outcome = "warning"
    return Result(item, outcome, "; ".join((*faults, *warnings)), reply.seconds)


def _faults(item: Item, reply: Reply) -> Iterator[str]:
    # An expected status of 0 leaves it to what the answer holds.
    if item.expect and reply.status != item.expect:
        yield _unexpected(item, reply)
        return
    if lacking := [text for text in item.contains if text not in reply.text]:
        yield f"it does not hold {_some(lacking)}"
    if item.fields or item.values:
        document = reply.document()
        if document is MISSING:
            kind = reply.headers.get("content-type", "no content type")
            yield f"it answers {reply.status} with {kind}, which is no JSON"
        elif absent := [path for path in item.fields if found(document, path) is MISSING]:
            yield f"there is no {_some(absent)}"


def _unexpected(item: Item, reply: Reply) -> str:
    if item.anonymous and reply.status < 400:
        return f"it answers {reply.status} to anybody, without a token"
    said = f"it answers {reply.status}, not {item.expect}"
    document = reply.document()
    # Problems have a detail, health has a status.
    told = (document.get(name) for name in ("detail", "title", "status")) if isinstance(document, dict) else ()
    reason = next((text for text in told if isinstance(text, str) and text), None)
    if 300 <= reply.status < 400:
        reason = f"it points to {reply.headers.get('location', 'nowhere')}"
    return f"{said}: {reason[:200]}" if reason else said


def _difference(value: Value, document: Any) -> tuple[str, bool]:
    """Return what is wrong at a place of the answer, empty when nothing is, and whether that is tolerated."""
    there = found(document, value.path)
    if there is MISSING:
        return f"there is no {value.path}", False
    text = there if isinstance(there, str) else orjson.dumps(there).decode()
    if text == value.equals:
        return "", False
    return f"{value.path.rpartition('.')[2]} is {text[:80]}, not {value.equals}", text in value.tolerated


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
