"""What is bound to a table by its OID, and would stay with the old table when the twin takes its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.preflight.report import Finding, Severity

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["bound"]

_OID = "%(oid)s::oid"

#: Code, severity, what the named ones are, what comes of it, the mend, and the statement that names them.
_BOUND: tuple[tuple[str, Severity, str, str, str, str], ...] = (
    (
        "incoming-foreign-key", "blocker", "Foreign keys point here",
        "They need a unique constraint without the partition key, which partitions cannot have.",
        "Drop them, or let them point to the key and the id together.",
        f"""SELECT conrelid::regclass || '.' || conname FROM pg_constraint
        WHERE confrelid = {_OID} AND contype = 'f' AND conrelid <> confrelid AND conparentid = 0""",
    ),
    (
        "view", "blocker", "Views and rules read this table",
        "They would go on reading the old table after the switch.",
        "Drop them, and make them again after the switch.",
        f"""SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}
          AND r.ev_class <> {_OID}""",
    ),
    (
        "rule", "blocker", "Rules rewrite statements on this table",
        "The new table would do without them.", "Replace them by triggers or drop them.",
        f"SELECT rulename FROM pg_rewrite WHERE ev_class = {_OID}",
    ),
    (
        "trigger", "blocker", "Triggers fire on this table",
        "The new table would do without them, and the copying of rows must not fire them.",
        "Drop them, and make them again after the switch.",
        # Those of a cutover under way go with it.
        f"""SELECT tgname FROM pg_trigger
        WHERE tgrelid = {_OID} AND NOT tgisinternal AND NOT starts_with(tgname, 'bedplate_')""",
    ),
    (
        "row-security", "blocker", "Row security guards this table",
        "The new table would show all rows to everybody.",
        "Drop the policies and disable it, or wait until cutovers carry it over.",
        f"""SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = {_OID}
        UNION ALL SELECT 'enabled' FROM pg_class WHERE oid = {_OID} AND relrowsecurity""",
    ),
    (
        "publication", "blocker", "Publications name this table",
        "Subscribers would get the changes of the old table.",
        "Drop it from them, and publish the new table after the switch, via its root.",
        f"""SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE r.prrelid = {_OID}""",
    ),
    (
        "publication-of-all", "warning", "Publications of all tables have this one",
        "Subscribers get the copying of every row, under the partitions' names unless published via the root.",
        "Set publish_via_partition_root, or take it out while rows are copied.",
        f"""SELECT p.pubname FROM pg_publication p WHERE p.puballtables OR EXISTS (
        SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid
        WHERE n.pnpubid = p.oid AND c.oid = {_OID})""",
    ),
    (
        "inheritance", "blocker", "Tables inherit from this one, or it from them",
        "A partitioned table takes part in no inheritance.", "Take it out with NO INHERIT.",
        f"""SELECT CASE WHEN inhrelid = {_OID} THEN inhparent ELSE inhrelid END::regclass::text
        FROM pg_inherits WHERE inhrelid = {_OID} OR inhparent = {_OID}""",
    ),
    (
        "function", "blocker", "Functions are bound to this table or to the type of its rows",
        "They would go on working with the old table.", "Drop them, and make them again after the switch.",
        f"""SELECT DISTINCT d.objid::regprocedure::text FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND ((d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}) OR (d.refclassid = 'pg_type'::regclass
          AND d.refobjid IN (SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = {_OID})))""",
    ),
    (
        "row-type", "blocker", "Columns elsewhere have the type of this table's rows",
        "They would keep the type of the old table.", "Give them another type.",
        f"""SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_type t
        ON a.atttypid IN (t.oid, t.typarray) WHERE t.typrelid = {_OID} AND NOT a.attisdropped""",
    ),
    (
        "extension", "blocker", "The table belongs to an extension",
        "The new table would not.", "Leave it where it is.",
        f"""SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = {_OID} AND d.deptype = 'e'""",
    ),
)  # fmt: skip


def bound(connection: Connection[Any], table: Table, key: str) -> Iterator[Finding]:
    """Yield a finding for each kind of thing that is bound to the table."""
    for code, severity, what, cost, mend, statement in _BOUND:
        rows = connection.execute(statement.encode(), {"oid": table.oid}).fetchall()
        names = sorted(str(row[0]) for row in rows)
        if names:
            said = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield Finding(severity, code, f"{table.schema}.{table.name}", f"{what}: {said}.", cost, mend)
    yield from _wide(connection, table, key)


def _wide(connection: Connection[Any], table: Table, key: str) -> Iterator[Finding]:
    """Yield a note for each index that is used and lacks the partition key."""
    rows = ask(
        connection,
        """SELECT s.indexrelname, s.idx_scan FROM pg_stat_all_indexes s
        JOIN pg_index i ON i.indexrelid = s.indexrelid
        WHERE s.relid = %s AND s.idx_scan > 0 ORDER BY s.idx_scan DESC""",
        (table.oid,),
    )
    columns = {one.name: one.columns for one in table.constraints} | {one.name: one.columns for one in table.indexes}
    for name, scans in rows:
        if key not in columns.get(name, (key,)):
            yield Finding(
                "note",
                "index-used",
                f"{table.schema}.{table.name}",
                f"Index {name} on ({', '.join(columns[name])}) was used {scans} times since statistics began.",
                f"A look-up by it that does not give {key} looks into every partition.",
                f"Give {key} in the condition where the caller knows it.",
            )
