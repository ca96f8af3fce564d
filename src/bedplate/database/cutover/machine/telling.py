"""What happened to a cutover, and how far its tables are, in words for whoever looks at its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, Literal

from bedplate.database.cutover.machine.look import Sight, TableSight
from bedplate.database.cutover.machine.record import Event
from bedplate.database.cutover.machine.wishes import WISHES
from bedplate.database.cutover.work import STATES
from bedplate.declarations import Moment

__all__ = ["tables_told", "time_line"]

_Tone = Literal["good", "warn", "bad", "info", "idle"]
_BAD = ("refused", "not equal", "failed")
_WARN = ("waits", "beside", "twice", "missed", "not validated")
#: What entering a state means.
_ENTERED: Mapping[str, str] = {
    "none": "Rolled back: nothing of it is left",
    "preflight": "Preflight: nothing refuses it",
    "prepared": "Prepared: the partitioned tables are made",
    "capturing": "Capturing: changed keys are logged",
    "backfilling": "Backfilling: rows are copied",
    "indexing": "Indexing: all rows are copied",
    "synced": "Synced: what was written meanwhile is replayed",
    "verified": "Verified: both sides are proven equal",
    "switched": "Switched: the partitioned tables are in use",
    "finalized": "Finalized: the old tables are gone",
}
#: States in which nothing is being done that takes its time.
_RESTS = ("none", "preflight", "prepared", "verified", "switched")
#: Findings of a look that are told one by one.
_FINDINGS = 5


def tables_told(sight: Sight | None) -> tuple[Moment, ...]:
    """Return a line for each table: how many rows are copied, or on which side, and what is left to be done."""
    if sight is None or sight.record is None or sight.record.state in ("none", "preflight", "finalized"):
        return ()
    return tuple(_table(one, sight.record.state, sight.progress) for one in sight.tables)


def _table(one: TableSight, state: str, progress: Mapping[str, Mapping[str, Any]]) -> Moment:
    at, copied = STATES.index(state), progress.get(f"backfill:{one.table}", {})
    said: list[str] = []
    tone: _Tone = "info"
    if at <= STATES.index("backfilling"):
        rows, of = int(copied.get("rows", 0)), int(copied.get("of", 0))
        if not copied:
            said.append("not begun")
        elif copied.get("done"):
            said.append(f"all {_count(rows)} rows copied")
        else:
            said.append(f"{_count(rows)} of about {_count(max(rows, of))} rows copied ({_share(rows, of)})")
    elif one.counts is None:
        said.append(f"{_count(int(copied.get('rows', 0)))} rows copied, not compared yet")
    elif one.differing:
        tone = "bad"
        differ = "1 row differs" if one.differing == 1 else f"{_count(one.differing)} rows differ"
        said.append(f"{differ}: {_count(one.counts[0])} rows in use, {_count(one.counts[1])} on the other side")
    else:
        tone = "good"
        said.append(f"{_count(one.counts[0])} rows on both sides at the last comparison, none differs")
    if one.pending:
        said.append(f"{_count(one.pending)} changed {'key' if one.pending == 1 else 'keys'} to be replayed")
    if one.live is not None and one.shadow is not None and at >= STATES.index("synced"):
        said.append(f"{_size(one.live.size)} in use, {_size(one.shadow.size)} beside it")
    return Moment(text=one.table, detail="; ".join(said), tone=tone)


def time_line(events: Sequence[Event], most: int = 30) -> tuple[Moment, ...]:
    """Return what happened in words, newest first as it comes; what happens many times in a row is one line."""
    entered = [event for event in events if event.event in STATES]
    since = {newer.id: older for newer, older in pairwise(entered)}
    lines: list[Moment] = []
    for kind, several in groupby(events, key=lambda event: event.event):
        group = list(several)
        if kind in _TOGETHER:
            lines.append(_together(kind, group))
            continue
        for event in group:
            lines += _told(event, since.get(event.id))
    return tuple(lines[:most])


def _told(event: Event, before: Event | None) -> Iterator[Moment]:
    name, at = event.event, event.at.timestamp()
    if name in STATES:
        text = _ENTERED[name]
        if name == "verified" and event.detail.get("before") == "switched":
            text = "Switched back: the old tables are in use again"
        took = 0.0 if before is None or before.event in _RESTS else (event.at - before.at).total_seconds()
        after = f"after {_span(took)} of {before.event}" if before is not None and took >= 1.0 else ""
        tone: _Tone = "good" if name in ("verified", "switched", "finalized") else "info"
        yield Moment(text=text, detail=after, at=at, tone=tone)
    elif name in WISHES:
        by = f"by {event.actor}" if event.actor else ""
        yield Moment(text=name.capitalize(), detail=f"{by}{_throttled(event.detail)}", at=at, tone="info")
    elif name == "looked":
        yield from _looked(event.detail, at)
    elif name in _TOLD:
        text, tell = _TOLD[name]
        tone = "good" if name in ("equal", "switch done", "rollback done") else _tone(name)
        yield Moment(text=text, detail=tell(event.detail), at=at, tone=tone)
    else:
        yield Moment(text=name.capitalize(), detail=_words(event.detail), at=at, tone=_tone(name))


def _tone(name: str) -> _Tone:
    if any(word in name for word in _BAD):
        return "bad"
    return "warn" if any(word in name for word in _WARN) else "info"


def _looked(detail: Mapping[str, Any], at: float) -> Iterator[Moment]:
    found = [str(one) for one in detail.get("findings", ())]
    sizes = "; ".join(
        f"{_plain(one['table'])}: about {_count(one['rows'])} rows, {_span(one['seconds'])} of copying"
        for one in detail.get("estimates", ())
    )
    kinds = [one.partition(": ")[0] for one in found]
    counts = [f"{kinds.count(kind)} {kind}{'s' if kinds.count(kind) > 1 else ''}" for kind in dict.fromkeys(kinds)]
    text = f"Preflight looked: {', '.join(counts) or 'nothing stands in the way'}"
    yield Moment(text=text, detail=sizes, at=at, tone="bad" if "blocker" in kinds else "info")
    tones: Mapping[str, _Tone] = {"blocker": "bad", "warning": "warn"}
    for one in found[:_FINDINGS]:
        kind, _, what = one.partition(": ")
        yield Moment(text=kind.capitalize(), detail=_plain(what), tone=tones.get(kind, "idle"))
    if len(found) > _FINDINGS:
        yield Moment(text=f"{len(found) - _FINDINGS} more", detail="bedplate cutover preflight lists all.")


#: What happens many times in a row: the one, the many, and what tells them apart.
_TOGETHER: Mapping[str, tuple[str, str, str]] = {
    "index made": ("Index made", "{} indexes made", "index"),
    "captured": ("Log of keys in place", "{} logs of keys in place", "log"),
}


def _together(kind: str, events: Sequence[Event]) -> Moment:
    one, many, name = _TOGETHER[kind]
    names = ", ".join(_plain(str(event.detail.get(name, ""))) for event in reversed(events))
    text = one if len(events) == 1 else many.format(len(events))
    return Moment(text=text, detail=names, at=events[0].at.timestamp(), tone="info")


def _throttled(detail: Mapping[str, Any]) -> str:
    found = detail.get("throttle")
    return f": from {found[0]} to {found[1]} % of full speed" if isinstance(found, list) else ""


def _turned(detail: Mapping[str, Any]) -> str:
    tries, keys = int(detail.get("attempts", 1)), int(detail.get("compared", 0))
    attempts = "at the first attempt" if tries == 1 else f"at attempt {tries}"
    compared = "1 key" if keys == 1 else f"{_count(keys)} keys"
    return f"for {float(detail.get('held', 0.0)) * 1000:.1f} ms, {attempts}; {compared} compared under it"


def _compared(detail: Mapping[str, Any]) -> str:
    rows = ", ".join(f"{_count(counts[0])} rows of {table}" for table, counts in dict(detail.get("rows", {})).items())
    repaired = sum(dict(detail.get("repaired", {})).values())
    mended = f"; {_count(repaired)} rows repaired" if repaired else ""
    return f"{rows}{mended}, in {float(detail.get('seconds', 0.0)):.1f} s"


def _unequal(detail: Mapping[str, Any]) -> str:
    differing = {table: count for table, count in dict(detail.get("differing", {})).items() if count}
    tables = ", ".join(f"{_count(count)} of {table}" for table, count in differing.items())
    known = ("rows", "differing", "repaired", "seconds")
    more = _words({name: value for name, value in detail.items() if name not in known})
    return f"rows that differ: {tables}{'. ' if more else ''}{more}"


#: Events of the worker, as people would say them, and how what belongs to them is told.
_TOLD: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "twins made": (
        "Partitioned tables made",
        lambda detail: f"{_plain(', '.join(detail.get('tables', ())))}, {detail.get('partitions')} partitions each",
    ),
    "equal": ("Compared: equal", _compared),
    "not equal": ("Compared: not equal", _unequal),
    "switch done": ("The switch held its lock", _turned),
    "rollback done": ("The rollback held its lock", _turned),
}


def _words(detail: Mapping[str, Any]) -> str:
    said = "; ".join(f"{name}: {_short(value)}" for name, value in detail.items() if value not in ({}, [], "", None))
    return said if len(said) <= 400 else f"{said[:400].rsplit(' ', 1)[0]} …"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(one)}" for name, one in value.items() if one not in ({}, [], "", None))
    if isinstance(value, list):
        return ", ".join(_short(one) for one in value if one != "")
    return f"{value:.3g}" if isinstance(value, float) else _plain(str(value))


def _plain(name: str) -> str:
    """Return names as people say them: the quotes, and the schema where it is the usual one, tell them nothing."""
    return name.replace('"', "").replace("public.", "")


def _count(value: float) -> str:
    return f"{round(value):,}".replace(",", "\u202f")


def _share(done: int, of: int) -> str:
    return f"{min(done / of, 0.99):.0%}".replace("%", "\u202f%") if of > 0 else "–"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
