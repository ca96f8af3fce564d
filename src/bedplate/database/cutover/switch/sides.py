"""Which of a cutover's tables is live now and which one follows it: by the catalog, never by memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.plan import Plan

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["LEGACY", "PARTITIONED", "Side", "sides"]

#: What the names of those tables end in that are not live, and the names of their indexes.
LEGACY, PARTITIONED = "_legacy", "_partitioned"


@dataclass(frozen=True, slots=True)
class Side:
    """A table of the plan and its twin, as they are.

    :ivar table: the plan's name. :ivar live: the one that the service reads and writes. :ivar shadow: the one that
        follows it, None when it is not there.
    """

    table: str
    live: Table
    shadow: Table | None

    @property
    def switched(self) -> bool:
        """Whether the partitioned one is live."""
        return self.live.kind == "p"

    @property
    def away(self) -> str:
        """What the live one's names will end in when it is live no more."""
        return PARTITIONED if self.switched else LEGACY

    @property
    def back(self) -> str:
        """What the shadow's names end in now."""
        return LEGACY if self.switched else PARTITIONED

    @property
    def other(self) -> Table:
        """The shadow, which must be there.

        :raises CutoverError: when it is not.
        """
        if self.shadow is None:
            what = f"{self.table} has no {twin_name(self.live.name, self.back)} beside it."
            mend = "finalize takes away what is left" if self.switched else "roll back, and start it anew"
            raise CutoverError(what, f"Was it removed by hand? Then {mend}.")
        return self.shadow


def sides(connection: Connection[Any], plan: Plan) -> list[Side]:
    """Find the tables of a plan; in a transaction.

    :raises CutoverError: when one is not there, or only some are switched, which no cutover leaves.
    """
    found = [_side(connection, name) for name in plan.tables]
    if len({side.switched for side in found}) > 1:
        names = ", ".join(side.table for side in found if side.switched)
        raise CutoverError(
            f"Of the plan's tables only {names} are partitioned.", "Somebody renamed by hand: name them back."
        )
    return found


def _side(connection: Connection[Any], name: str) -> Side:
    live = read(connection, name)
    wanted, suffix = ("r", LEGACY) if live.kind == "p" else ("p", PARTITIONED)
    shadow = quoted(live.schema, twin_name(live.name, suffix))
    rows = ask(connection, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)", (shadow,))
    if rows and rows[0][0] != wanted:
        raise CutoverError(f"{shadow} is not what a cutover leaves under that name.", "Rename it.")
    return Side(name, live, read(connection, shadow) if rows else None)
