"""What a cutover's page in the console shows besides: its way with the present place, its buttons, its time line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from bedplate.database.cutover.machine.look import Sight
from bedplate.database.cutover.machine.readiness import Readiness
from bedplate.database.cutover.machine.record import Record
from bedplate.database.cutover.machine.telling import tables_told, time_line
from bedplate.database.cutover.machine.wishes import WISHES
from bedplate.database.cutover.work import STATES
from bedplate.declarations import Moment, Section

__all__ = ["sections_of"]

_Tone = Literal["good", "warn", "bad", "info", "idle"]


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
    parts = [Section(title="Cutover", kind="steps", moments=way, summary=_standing(record, sight), actions=WISHES)]
    if lines := tables_told(sight):
        parts.append(Section(title="Tables", kind="timeline", moments=lines))
    if ready is not None and record is not None and state not in ("switched", "finalized"):
        parts.append(_readiness(ready))
    events = () if sight is None else time_line(sight.events)
    parts.append(Section(title="Time line", kind="timeline", moments=events))
    return tuple(parts)


def _readiness(ready: Readiness) -> Section:
    judged = tuple(
        Moment(
            text=one.name.replace("-", " ").capitalize(),
            detail=one.reason,
            tone="idle" if one.ok is None else "good" if one.ok else "warn",
        )
        for one in ready.judgements
    )
    return Section(
        title=f"Readiness to switch: {ready.score} of 100", kind="timeline", moments=judged, summary=_verdict(ready)
    )


def _tone(record: Record | None) -> _Tone:
    if record is None:
        return "idle"
    if record.trouble == "waits":
        return "bad"
    if record.trouble or record.paused:
        return "warn"
    return "good" if record.state in ("verified", "switched", "finalized") else "info"


#: What a state means while nothing else is wanted.
_MEANS: Mapping[str, str] = {
    "verified": "It is verified: both sides are proven equal, and are kept so. The old tables are in use.",
    "switched": "It is switched: the partitioned tables are in use, and the old ones follow, so it can be rolled back.",
    "finalized": "It is finalized: the partitioned tables are in use, the old ones are gone.",
}
_TURNING: Mapping[str, str] = {
    "switched": "It is being switched.",
    "rolled-back": "It is being rolled back.",
    "finalized": "It is being finalized.",
}


def _standing(record: Record | None, sight: Sight | None) -> str:
    if record is None or (record.state == "none" and not record.wanted):
        return "It has not begun: the tables are as they were."
    said = [_place(record)]
    if record.paused:
        said.append("It is paused.")
    if sight is not None and not sight.runs and record.wanted and record.state != "finalized":
        said.append("No worker runs: start the service, or `bedplate cutover run`.")
    if record.throttle < 100 and record.state not in ("switched", "finalized"):
        said.append(f"It works at {record.throttle} % of its speed.")
    if record.trouble:
        said.append(f"{'It waits for you: ' if record.trouble == 'waits' else ''}{record.error} {record.mend}")
    return " ".join(said)


def _place(record: Record) -> str:
    if record.wanted in _TURNING and record.wanted != record.state:
        return _TURNING[record.wanted]
    if record.state in _MEANS:
        return _MEANS[record.state]
    where = "It begins" if record.state == "none" else f"It is {record.state}"
    return f"{where}, on its way to {record.wanted}." if record.wanted else f"{where}."


def _verdict(ready: Readiness) -> str:
    return "It may be switched." if ready.ready else "Not yet: this stands in the way."
