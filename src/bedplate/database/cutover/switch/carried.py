"""What is bound to a table by its OID and does not follow a rename, and the statements that carry it over.

Some of it is made on the shadow before the switch and lies idle there: triggers, which are disabled, and policies, as
long as row security is. The rest is handed over under the lock: what is live gets triggers, row security and foreign
keys, and what is not loses them, since it only follows; views, functions and foreign keys from elsewhere are defined
anew, which binds them to whatever has the name by then; publications exchange one table for the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted
from bedplate.database.cutover.catalog import Grant, Table
from bedplate.database.cutover.switch.bound import Bound, Trigger, bound_to
from bedplate.database.cutover.switch.foreign import ForeignKeys, foreign_keys
from bedplate.database.cutover.switch.foreign import names as foreign_key_names

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["HandOver", "grants", "hand_over", "prepare", "unlike"]

_ENABLE = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


@dataclass(frozen=True, slots=True)
class HandOver:
    """Statements of the switch for one table.

    :ivar locks: what else must be locked, before the tables, as whoever reads a view locks it before them.
    :ivar before: due before the names change; ``after``: due when they have.
    :ivar validate: due when the switch has been committed: nobody waits for them.
    """

    locks: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    validate: tuple[str, ...]


def prepare(connection: Connection[Any], live: Table, shadow: Table) -> None:
    """Make triggers and policies of the live table on the shadow, idle; in a transaction, again and again.

    :raises CutoverError: when a trigger cannot be on partitions.
    """
    mine, its = bound_to(connection, live), bound_to(connection, shadow)
    there = {one.name: one for one in its.triggers}
    for one in mine.triggers:
        old = there.pop(one.name, None)
        if old is not None and (old.definition, old.comment, old.enabled) == (one.definition, one.comment, "D"):
            continue
        if old is not None:
            ask(connection, f"DROP TRIGGER {quoted(one.name)} ON {shadow.sql}")
        _trigger(connection, one, shadow)
    for name in there:
        ask(connection, f"DROP TRIGGER {quoted(name)} ON {shadow.sql}")
    if mine.policies != its.policies:
        for policy in its.policies:
            ask(connection, f"DROP POLICY {quoted(policy.name)} ON {shadow.sql}")
        for policy in mine.policies:
            for statement in policy.statements(shadow.sql):
                ask(connection, statement)


def grants(live: Table, shadow: Table) -> Iterator[str]:
    """Yield what gives the shadow the rights that the live table has by now; nobody uses it, so it is done before."""
    taken = [one for one in shadow.grants if one not in live.grants]
    for one in taken:
        yield f"REVOKE {_right(one)} ON TABLE {shadow.sql} FROM {_role(one)}"
    for one in live.grants:
        # With a right on the table PostgreSQL takes away those on its columns, which both may have.
        if taken or one not in shadow.grants:
            more = " WITH GRANT OPTION" if one.grantable and one.role != shadow.owner else ""
            yield f"GRANT {_right(one)} ON TABLE {shadow.sql} TO {_role(one)}{more}"


def _right(one: Grant) -> str:
    return f"{one.privilege} ({quoted(one.column)})" if one.column else one.privilege


def _role(one: Grant) -> str:
    return "PUBLIC" if one.role is None else quoted(one.role)


def _trigger(connection: Connection[Any], one: Trigger, shadow: Table) -> None:
    import psycopg

    try:
        ask(connection, one.statement(shadow.sql))
    except psycopg.errors.FeatureNotSupported as error:
        words = " ".join(str(error).split())[:300]
        what = f"Trigger {one.name} cannot be on a partitioned table: {words}."
        raise CutoverError(what, "Write it for statements, or drop it.") from None
    ask(connection, f"ALTER TABLE {shadow.sql} DISABLE TRIGGER {quoted(one.name)}")
    if one.comment is not None:
        ask(connection, f"COMMENT ON TRIGGER {quoted(one.name)} ON {shadow.sql} IS {literal(one.comment)}")


def hand_over(
    connection: Connection[Any], live: Table, shadow: Table, away: str, together: Sequence[int] = ()
) -> HandOver:
    """Return the statements that hand everything over, once :func:`prepare` is done; in a transaction.

    :param away: the live table's name afterwards, quoted in full.
    :param together: OIDs of all tables that are switched with it: foreign keys among them are handed over as theirs.
    """
    mine, its = bound_to(connection, live), bound_to(connection, shadow)
    incoming = tuple(one for one in mine.incoming if one.oid not in together)
    mine = replace(mine, incoming=incoming)
    own = foreign_keys(connection, live, shadow)
    return HandOver(
        locks=tuple(_locks(mine, own)),
        before=(*_quieted(mine, live), *_roused(mine, its, shadow), *_detached(mine), *own.drops),
        after=(*_bound_anew(mine, live.sql, away), *own.adds),
        validate=(
            *own.validate,
            *(f"ALTER TABLE {one.table} VALIDATE CONSTRAINT {quoted(one.name)}" for one in incoming if one.validated),
        ),
    )


def _locks(mine: Bound, own: ForeignKeys) -> Iterator[str]:
    for view in mine.views:
        # LOCK would take all other tables of the view as well; this changes nothing, and locks the view alone.
        yield f"ALTER VIEW {view.name} OWNER TO {quoted(view.owner)}"
    for table in dict.fromkeys((*(one.table for one in mine.incoming), *own.referenced)):
        yield f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"


def _quieted(mine: Bound, live: Table) -> Iterator[str]:
    """The live table is about to follow: rows get there as they are, so nothing may fire or hide them."""
    for one in mine.triggers:
        if one.enabled != "D":
            yield f"ALTER TABLE {live.sql} DISABLE TRIGGER {quoted(one.name)}"
    if mine.forced:
        yield f"ALTER TABLE {live.sql} NO FORCE ROW LEVEL SECURITY"


def _roused(mine: Bound, its: Bound, shadow: Table) -> Iterator[str]:
    for one in mine.triggers:
        if one.enabled != "D":
            yield f"ALTER TABLE {shadow.sql} {_ENABLE[one.enabled]} TRIGGER {quoted(one.name)}"
    for wanted, has, word in ((mine.secured, its.secured, "ENABLE"), (mine.forced, its.forced, "FORCE")):
        if wanted != has:
            no = {"ENABLE": "DISABLE", "FORCE": "NO FORCE"}[word]
            yield f"ALTER TABLE {shadow.sql} {word if wanted else no} ROW LEVEL SECURITY"


def _detached(mine: Bound) -> Iterator[str]:
    for one in mine.incoming:
        yield f"ALTER TABLE {one.table} DROP CONSTRAINT {quoted(one.name)}"


def _bound_anew(mine: Bound, name: str, away: str) -> Iterator[str]:
    for one in mine.incoming:
        # Both tables hold the same rows, so it is true; to look is for later, when nobody waits.
        valid = " NOT VALID" if one.validated else ""
        yield f"ALTER TABLE {one.table} ADD CONSTRAINT {quoted(one.name)} {one.definition}{valid}"
        if one.comment is not None:
            yield f"COMMENT ON CONSTRAINT {quoted(one.name)} ON {one.table} IS {literal(one.comment)}"
    for view in mine.views:
        yield view.statement
    yield from mine.functions
    for one_publication in mine.publications:
        yield f"ALTER PUBLICATION {quoted(one_publication.name)} DROP TABLE {away}"
        yield f"ALTER PUBLICATION {quoted(one_publication.name)} ADD TABLE {name}{one_publication.rest}"


def unlike(connection: Connection[Any], live: Table, shadow: Table) -> Iterator[str]:
    """Yield what the live table should have by now of what was carried over, and where it is still bound to the other.

    After a switch, in a transaction: triggers and policies are on both, and all else on the live one alone.
    """
    mine, its = bound_to(connection, live), bound_to(connection, shadow)
    for what, ours, theirs in (
        ("Trigger", {one.name: one.definition for one in mine.triggers}, {o.name: o.definition for o in its.triggers}),
        ("Policy", {one.name: one for one in mine.policies}, {one.name: one for one in its.policies}),
    ):
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                yield f"{what} {name} is not the same on both tables."
    for trigger in its.triggers:
        if trigger.enabled != "D":
            yield f"Trigger {trigger.name} fires on the table that only follows."
    if (its.secured and not mine.secured) or its.forced:
        yield "Row security is not as it was."
    bound_still = (
        ("Its own foreign key", foreign_key_names(connection, shadow)),
        ("View", [one.name for one in its.views]),
        ("Foreign key", [one.name for one in its.incoming]),
        ("Publication", [one.name for one in its.publications]),
        ("Function", list(its.functions)),
    )
    for what, names in bound_still:
        for name in names:
            yield f"{what} {name} is bound to the table that only follows."
