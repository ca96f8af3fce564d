"""What a cutover's page in the console shows besides: its way with the present place, its buttons, its time line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bedplate.database.cutover.machine.look import Sight
from bedplate.database.cutover.machine.readiness import Readiness
from bedplate.database.cutover.machine.record import Event, Record
from bedplate.database.cutover.machine.wishes import WISHES
from bedplate.database.cutover.work import STATES
from bedplate.declarations import Moment, Section

__all__ = ["sections_of"]

_Tone = Literal["good", "warn", "bad", "info", "idle"]
_BAD, _GOOD = ("refused", "not equal", "failed"), ("equal", "verified", "switched", "finalized", "repaired")


def sections_of(sight: Sight | None, ready: Readiness | None, unneeded: str) -> Sequence[Section]:
    """Return the sections; :param unneeded: why nothing is moved, empty when something is."""
    if unneeded:
        return (Section(title="Cutover", kind="steps", summary=unneeded),)
    record = None if sight is None else sight.record
    state = "none" if record is None else record.state
    at = STATES.index(state)
    way = tuple(
        Moment(
            text=one,
            tone="good" if number < at else _tone(record) if number == at else "idle",
            present=number == at,
        )
        for number, one in enumerate(STATES)
        if one != "none"
    )
    parts = [Section(title="Cutover", kind="steps", moments=way, summary=_standing(record), actions=WISHES)]
    if ready is not None:
        judged = tuple(
            Moment(
                text=one.name,
                detail=one.reason,
                tone="idle" if one.ok is None else "good" if one.ok else "warn",
            )
            for one in ready.judgements
        )
        title = f"Readiness: {ready.score} of 100"
        parts.append(Section(title=title, kind="timeline", moments=judged, summary=_verdict(ready)))
    events = () if sight is None else tuple(_moment(event) for event in sight.events[:30])
    parts.append(Section(title="Time line", kind="timeline", moments=events))
    return tuple(parts)


def _tone(record: Record | None) -> _Tone:
    if record is None:
        return "idle"
    return "bad" if record.trouble == "waits" else "warn" if record.trouble or record.paused else "info"


def _standing(record: Record | None) -> str:
    if record is None or (record.state == "none" and not record.wanted):
        return "It has not begun."
    said = f"It is {record.state}"
    if record.wanted and record.wanted != record.state:
        said += f", and is to be {record.wanted}"
    said += ", paused." if record.paused else "."
    if record.trouble:
        waits = " It waits for you:" if record.trouble == "waits" else ""
        said += f"{waits} {record.error} {record.mend}"
    return said


def _verdict(ready: Readiness) -> str:
    return "It may be switched." if ready.ready else "Not yet: see what stands in the way."


def _moment(event: Event) -> Moment:
    tone: _Tone = "info"
    if any(word in event.event for word in _BAD):
        tone = "bad"
    elif event.event in _GOOD:
        tone = "good"
    by = "" if event.actor in ("", "worker") else f"by {event.actor}. "
    return Moment(text=event.event, detail=f"{by}{_words(event.detail)}", at=event.at.timestamp(), tone=tone)


def _words(detail: Mapping[str, Any]) -> str:
    said = "; ".join(f"{name}: {_short(value)}" for name, value in detail.items() if value not in ({}, [], "", None))
    return said if len(said) <= 400 else f"{said[:400]}…"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items() if one not in ({}, [], "", None))
    if isinstance(value, list):
        return ", ".join(_short(one) for one in value if one != "")
    return f"{value:.3g}" if isinstance(value, float) else str(value)
