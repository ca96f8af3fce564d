"""What people may want of a cutover, when it is refused and why, and how it is written into the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from bedplate.database.cutover.asking import CutoverError
from bedplate.database.cutover.machine.actions import FOLLOWED
from bedplate.database.cutover.machine.record import Book, Record, plan_json
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import STATES

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover.machine.readiness import Readiness

__all__ = ["WISHES", "Wish", "allowed", "press", "refusal"]

Wish = Literal["start", "pause", "resume", "throttle", "verify", "repair", "switch", "rollback", "finalize"]
WISHES: tuple[Wish, ...] = (
    "start",
    "pause",
    "resume",
    "throttle",
    "verify",
    "repair",
    "switch",
    "rollback",
    "finalize",
)


def refusal(record: Record | None, wish: Wish, readiness: Readiness | None = None) -> str | None:
    """Return why something cannot be wanted now, None when it can.

    :param readiness: for a switch; None when it is not known here, and is judged when it is pressed.
    """
    if record is None or (record.state == "none" and not record.wanted):
        return None if wish == "start" else "It has not begun."
    if record.state == "finalized":
        return "It is finalized: there is nothing left to be done."
    if record.wanted == "rolled-back" and wish not in ("pause", "throttle"):
        # Whoever waits for somebody may be told to try again.
        stands = record.trouble == "waits" or record.paused
        return None if wish == "resume" and stands else "It is being rolled back."
    judged = _REFUSALS.get(wish)
    said = judged(record) if judged is not None else None
    if said is None and wish == "switch" and readiness is not None and not readiness.ready:
        return f"It is not ready: {' '.join(readiness.reasons)}"
    return said


def allowed(record: Record | None, readiness: Readiness | None = None) -> tuple[Wish, ...]:
    """Return what may be wanted now."""
    return tuple(wish for wish in WISHES if refusal(record, wish, readiness) is None)


def _start(record: Record) -> str | None:
    if not record.wanted or record.trouble == "waits":
        return None
    return "It runs already." if not record.paused else "It is paused: resume it."


def _resume(record: Record) -> str | None:
    return None if record.paused or record.trouble == "waits" else "It is not paused, and waits for nobody."


def _follows(record: Record) -> str | None:
    return None if record.state in FOLLOWED else f"It is {record.state}: the two sides can be compared once synced."


def _repair(record: Record) -> str | None:
    if (said := _follows(record)) is not None:
        return said
    # Who waits may wait for what this mends as well: a log that is not in place.
    return None if _differing(record) or record.trouble == "waits" else "The last comparison found nothing to repair."


def _differing(record: Record) -> int:
    return int(sum(dict(record.verdict).get("differing", {}).values()))


def _switch(record: Record) -> str | None:
    if record.wanted == "switched":
        return "It is being switched."
    if record.state == "switched":
        return "It is switched."
    if record.state != "verified":
        after = "" if STATES.index(record.state) > STATES.index("synced") else "; wait until it is verified"
        return f"It is {record.state}{after}."
    return "It is paused: resume it." if record.paused else None


def _finalize(record: Record) -> str | None:
    if record.wanted == "finalized":
        return "It is being finalized."
    if record.state != "switched":
        return f"It is {record.state}: only what is switched can be finalized."
    if differing := _differing(record):
        # Which side is wrong is not known, and the other one would be gone.
        return f"{differing} rows differ between the two sides: look why, and repair them, before one of them goes."
    return "It is paused: resume it." if record.paused else None


_REFUSALS: dict[Wish, Any] = {
    "start": _start,
    "pause": lambda record: "It is paused." if record.paused else None,
    "resume": _resume,
    "verify": _follows,
    "repair": _repair,
    "switch": _switch,
    "finalize": _finalize,
}


def press(
    connection: Connection[Any],
    name: str,
    wish: Wish,
    actor: str,
    *,
    plan: Plan | None = None,
    percent: int = 100,
    confirm: str = "",
    readiness: Readiness | None = None,
) -> dict[str, Any]:
    """Want something: judge it by the row as it is now, write it, and the event with it; return before and after.

    :param plan: what is to be moved, where it starts. :param percent: of a throttle. :param confirm: the cutover's
        name, typed by who wants what cannot be undone. :param readiness: for a switch.
    :raises CutoverError: when it is refused.
    """
    book = Book(connection, name)
    with connection.transaction():
        if wish == "start":
            # Of two that begin at once the second sees the first.
            book.alone()
            if plan is not None:
                book.make(plan)
        record = book.read(locked=True)
        said = refusal(record, wish, readiness)
        if said is not None or record is None:
            raise CutoverError(f"{wish.capitalize()} is refused. {said or 'It has not begun.'}")
        if wish == "finalize" and confirm != name:
            raise CutoverError("Finalize is refused: the legacy tables go for good.", f"Type the name: {name}.")
        values: dict[str, Any] = _values(record, wish, actor, percent)
        if wish == "start" and plan is not None and plan != record.plan:
            if record.state != "none":
                what = f"The cutover {name} moves {', '.join(record.plan.tables)} already, and otherwise."
                raise CutoverError(what, "Roll it back first, or give this one another name.")
            values["plan"] = plan_json(plan)
        if wish == "start":
            _unclaimed(book, plan or record.plan)
        book.set(**values)
        before = {field: getattr(record, field) for field in ("state", "wanted", "paused", "throttle", "task")}
        after = {**before, **{field: value for field, value in values.items() if field in before}}
        changed = {field: [before[field], after[field]] for field in after if before[field] != after[field]}
        book.happened(wish, actor, changed)
    return {"before": before, "after": after}


def _unclaimed(book: Book, plan: Plan) -> None:
    for table, other in book.others(plan, begun=False):
        what = f"Start is refused. {table} is moved by the cutover {other} already, or about to be."
        raise CutoverError(what, "Go on with that one, or roll it back first: its copy would be this one's, too.")


def _values(record: Record, wish: Wish, actor: str, percent: int) -> dict[str, Any]:
    clear: dict[str, Any] = {"trouble": "", "error": "", "mend": ""}
    if wish == "start":
        return {"wanted": "verified", "asked_by": actor, "paused": False, **clear}
    if wish == "pause":
        return {"paused": True}
    if wish == "resume":
        return {"paused": False, **(clear if record.trouble == "waits" else {})}
    if wish == "throttle":
        if not 1 <= percent <= 100:
            raise CutoverError(f"{percent} percent is no throttle.", "Give 1 to 100; pause it to stop it.")
        return {"throttle": percent}
    if wish in ("verify", "repair"):
        mended = clear if wish == "repair" and record.trouble == "waits" else {}
        return {"task": wish, "paused": False, "wanted": record.wanted or "verified", **mended}
    if wish == "switch":
        return {"wanted": "switched", "asked_by": actor, **clear}
    if wish == "rollback":
        # Nothing has been done before its first look: it is only not wanted any more.
        wanted = "rolled-back" if record.state != "none" else ""
        return {"wanted": wanted, "asked_by": actor, "paused": False, "task": "", **clear}
    return {"wanted": "finalized", "approved_by": actor, **clear}
