"""The fence: a transaction whose snapshot is older than the switch writes neither table by what it sees.

At REPEATABLE READ and SERIALIZABLE a transaction may have looked before the switch and write after it, with a snapshot
in which the last rows are not yet in the table that is live now: its UPDATE or DELETE of them would say 0 rows. It gets
40001 instead, which whoever writes at these levels tries again anyway. How old its snapshot is the catalog tells: in an
older one the table still has its former name. READ COMMITTED looks anew with each statement, and pays a comparison.
"""

from __future__ import annotations

from bedplate.database.cutover.asking import literal, quoted
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.layout import twin_name

__all__ = ["FENCE", "MARK", "called", "fenced", "function", "unfenced"]

FENCE = "bedplate_fence"

#: What its function says, and no other.
MARK = "could not serialize access due to a cutover of"
_BODY = f"""
BEGIN
    IF (SELECT relname FROM pg_catalog.pg_class WHERE oid = TG_RELID) IS DISTINCT FROM TG_TABLE_NAME THEN
        RAISE EXCEPTION '{MARK} %', TG_TABLE_NAME
            USING ERRCODE = 'serialization_failure', HINT = 'The transaction might succeed if retried.';
    END IF;
    RETURN NULL;
END"""


def function(schema: str, name: str) -> str:
    """Return the name of the fence's function for a table of the plan, by its live name."""
    return quoted(schema, called(name))


def called(name: str) -> str:
    """Return its name without the schema's."""
    return twin_name(name, "_fence")


def fenced(live: Table, shadow: Table) -> tuple[str, ...]:
    """Return what puts the fence on the shadow, where it lies idle until the switch; done before."""
    name = function(live.schema, live.name)
    made = "LANGUAGE plpgsql SET search_path = pg_catalog"
    levels = "pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable')"
    when = f"BEFORE INSERT OR UPDATE OR DELETE ON {shadow.sql} FOR EACH STATEMENT WHEN ({levels})"
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger {made} AS {literal(_BODY)}",
        f"ALTER FUNCTION {name}() OWNER TO {quoted(live.owner)}",
        f"DROP TRIGGER IF EXISTS {FENCE} ON {shadow.sql}",
        f"CREATE TRIGGER {FENCE} {when} EXECUTE FUNCTION {name}()",
    )


def unfenced(schema: str, name: str, *tables: Table) -> tuple[str, ...]:
    """Return what takes the fence away from all tables that may have it, with them locked."""
    return (
        *(f"DROP TRIGGER IF EXISTS {FENCE} ON {table.sql}" for table in tables),
        f"DROP FUNCTION IF EXISTS {function(schema, name)}()",
    )
