"""The triggers of dual writes on one table: putting them in place, making them strict, taking them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.dualwrite.bodies import EVENTS, Bodies
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.work import Pair

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["DualWrites", "Phase", "dual_names", "refusals", "removed"]

#: How a table's twin is written by its triggers: not at all, not any more as wanted, while rows are copied, afterwards.
Phase = Literal["none", "broken", "lenient", "strict"]

#: Types whose order and equality are not the system's own, by name: functions that see the system's names only would
#: take those of another type.
_FOREIGN = """SELECT a.attname, format_type(t.oid, NULL) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON b.oid = t.typbasetype WHERE a.attrelid = %s AND a.attname = ANY(%s)
  AND coalesce(b.typtype, t.typtype) <> 'e'
  AND coalesce(b.typnamespace, t.typnamespace) <> 'pg_catalog'::regnamespace"""

_RIGHTS = """SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
WHERE NOT has_table_privilege(%s::name, %s::text, p)"""


class DualWrites:
    """The triggers of one pair; making the object reads the catalog and changes nothing.

    :raises CutoverError: when the live table is not there.
    """

    def __init__(self, connection: Connection[Any], pair: Pair) -> None:
        self.pair = pair
        self._connection = connection
        with transaction(connection):
            source = read(connection, pair.live)
        self.source: Table = source
        self.tombstones = quoted(source.schema, _tombstones(source.name))
        columns = [column.name for column in source.columns if not column.generated]
        changed = [column.name for column in source.columns if not column.generated and column.identity != "a"]
        self.columns = ", ".join(map(quoted, columns))
        #: Whether an upsert cannot set all columns.
        self.partial = len(changed) < len(columns)
        self._bodies = Bodies(pair.live, pair.shadow, self.tombstones, columns, changed, pair.primary)

    @property
    def phase(self) -> Phase:
        """What the catalog says of them."""
        rows = ask(
            self._connection,
            """SELECT t.tgname, t.tgenabled::text FROM pg_catalog.pg_trigger t
            JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = to_regclass(%s)
              AND p.oid = ANY(ARRAY(SELECT to_regproc(f) FROM unnest(%s::text[]) f))""",
            (self.pair.live, [self._function(event) for event in EVENTS]),
        )
        if not rows:
            return "none"
        wanted = {(_trigger(event), {"truncate": "A", "row": "R"}.get(event, "O")) for event in EVENTS}
        if {tuple(row) for row in rows} != wanted:
            return "broken"
        buried = ask(self._connection, "SELECT to_regclass(%s) IS NOT NULL", (self.tombstones,))[0][0]
        return "lenient" if buried else "strict"

    def check(self) -> None:
        """See that the twin can be written by triggers, once it is there with its primary key.

        :raises CutoverError: when not, in words.
        """
        for what, mend in refusals(self._connection, self.source, self.pair.primary):
            raise CutoverError(f"{self.source.schema}.{self.source.name} {what}.", mend)
        for table in (self.pair.live, self.pair.shadow):
            missing = [row[0] for row in ask(self._connection, _RIGHTS, (self.source.owner, table))]
            if missing:
                what = f"The owner {self.source.owner} has no right to {', '.join(missing)} on {table}."
                raise CutoverError(what, f"GRANT it to {self.source.owner}: triggers write the twin in its name.")

    @property
    def early(self) -> tuple[str, ...]:
        """What makes ready for the triggers without touching who writes the table, in order."""
        known = {column.name: column.type for column in self.source.columns}
        keys = ", ".join(f"k{number} {known[name]}" for number, name in enumerate(self.pair.primary))
        # No index and no number: whoever deletes rows is to pay little. What is reaped leaves room that is to be used
        # again soon.
        table = (
            f"CREATE TABLE {self.tombstones} ({keys}) "
            "WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)"
        )
        made = [
            table,
            f"ALTER TABLE {self.tombstones} OWNER TO {quoted(self.source.owner)}",
            # Without an identity no row could be removed where all tables are published.
            f"ALTER TABLE {self.tombstones} REPLICA IDENTITY FULL",
        ]
        return (*made, *self._functions(self._bodies.lenient()))

    @property
    def late(self) -> tuple[str, ...]:
        """What lets the triggers work, in order, with the table locked against writers."""
        made = []
        for event, (fired, rows, each) in EVENTS.items():
            made.append(
                f"CREATE TRIGGER {quoted(_trigger(event))} AFTER {fired} ON {self.pair.live} {rows}"
                f"FOR EACH {each} EXECUTE FUNCTION {self._function(event)}()"
            )
        for event, how in (("truncate", "ALWAYS"), ("row", "REPLICA")):
            made.append(f"ALTER TABLE {self.pair.live} ENABLE {how} TRIGGER {quoted(_trigger(event))}")
        return tuple(made)

    def harden(self) -> None:
        """Make the triggers strict, in the open transaction, with the table locked against writers."""
        fence = int(ask(self._connection, "SELECT pg_catalog.pg_current_xact_id()::text::bigint")[0][0])
        for statement in self._functions(self._bodies.strict(fence)):
            ask(self._connection, statement)
        ask(self._connection, f"DROP TABLE {self.tombstones}")

    def _functions(self, bodies: dict[str, str]) -> list[str]:
        """Writers need no right on the twin: functions have their owner's, and names in them are all in full.

        A plan for all partitions, kept, is cheaper than planning anew for the one of each row.
        """
        made = []
        for event, body in bodies.items():
            function = f"{self._function(event)}()"
            kept = " SET plan_cache_mode = force_generic_plan" if "FROM " + self.pair.live in body else ""
            create = (
                f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                f"SET search_path = pg_catalog, pg_temp{kept} AS {literal(body)}"
            )
            made += [
                create,
                f"ALTER FUNCTION {function} OWNER TO {quoted(self.source.owner)}",
                f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
            ]
        return made

    def _function(self, event: str) -> str:
        return _function(self.source, event)


def removed(connection: Connection[Any], pair: Pair) -> tuple[str, ...]:
    """Return the statements that take away everything of dual writes, whatever of it is there; they need the lock.

    :param pair: as it is before; the live table, whichever that is, has the name that the cutover was planned for.
    """
    with transaction(connection):
        source = read(connection, pair.live)
    # With their triggers: nothing else calls them.
    functions = (f"DROP FUNCTION IF EXISTS {_function(source, event)}() CASCADE" for event in EVENTS)
    return (*functions, f"DROP TABLE IF EXISTS {quoted(source.schema, _tombstones(source.name))}")


def dual_names(name: str) -> tuple[set[str], set[str]]:
    """Return the names of the tables and of the functions that dual writes of a table have."""
    return {_tombstones(name)}, {_called(name, event) for event in EVENTS}


def refusals(connection: Connection[Any], source: Table, ids: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return why a table cannot be moved by dual writes though it can be moved, each reason with its mend."""
    found = []
    other = 'Use mode="capture".'
    if any("DEFERRABLE" in one.definition and "NOT DEFERRABLE" not in one.definition for one in source.of_kind("p")):
        found.append(("has a deferrable primary key, by which no row can be upserted", f"Make it not so. {other}"))
    if not any(not column.generated and column.identity != "a" for column in source.columns):
        found.append(("has no column that can be set", other))
    with transaction(connection):
        foreign = ask(connection, _FOREIGN, (source.oid, list(ids)))
        forced, free = ask(
            connection,
            """SELECT c.relforcerowsecurity, r.rolsuper OR r.rolbypassrls FROM pg_class c, pg_roles r
            WHERE c.oid = %s AND r.rolname = %s""",
            (source.oid, source.owner),
        )[0]
    for name, kind in foreign:
        found.append((f"is identified by {name} of type {kind}, whose equality is not the system's own", other))
    if forced and not free:
        found.append(
            ("has row security that its owner is subject to", f"ALTER TABLE … NO FORCE ROW LEVEL SECURITY. {other}")
        )
    return found


def _function(source: Table, event: str) -> str:
    return quoted(source.schema, _called(source.name, event))


def _tombstones(name: str) -> str:
    return twin_name(name, "_tombstones")


def _called(name: str, event: str) -> str:
    return twin_name(name, f"_dual_{event}")


def _trigger(event: str) -> str:
    return f"bedplate_dual_{event}"
