"""What is bound to a table by its OID: what the switch carries over, and what would stay with the old table."""

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
_ROW_TYPES = f"(SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = {_OID})"
#: Relations whose rules read the table, and the rules.
_READING = f"""pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class AND v.oid <> {_OID}
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}"""
_INCOMING = f"""FROM pg_constraint c JOIN pg_class o ON o.oid = c.conrelid
WHERE c.confrelid = {_OID} AND c.contype = 'f' AND c.conrelid <> c.confrelid AND c.conparentid = 0 AND ((
  NOT EXISTS (SELECT FROM unnest(c.confkey) n JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = n
    AND a.attname = %(key)s)) OR (o.relkind = 'p' AND current_setting('server_version_num')::int < 180000))"""

#: Code, severity, what the named ones are, what comes of it, the mend, and the statement that names them.
_BOUND: tuple[tuple[str, Severity, str, str, str, str], ...] = (
    (
        "incoming-foreign-key", "blocker", "Foreign keys point here",
        "They need a unique constraint without the partition key, which partitions cannot have.",
        "Drop them, or let them point to the key and the id together.",
        f"SELECT c.conrelid::regclass || '.' || c.conname {_INCOMING} = true",
    ),
    (
        "incoming-key", "note", "Foreign keys point here, by the partition key",
        "The switch makes them anew, locks their tables as well, and takes 8 ms more for each at 64 partitions.",
        "Nothing to do; they are looked at afterwards, beside the traffic.",
        f"SELECT c.conrelid::regclass || '.' || c.conname {_INCOMING} = false",
    ),
    (
        "sequence-of-others", "blocker", "Others draw numbers from an identity of this table",
        "They would go on with the old table's sequence, and give numbers that the new one gives as well.",
        "Give them a sequence of their own, or this table one that is no identity's.",
        f"""SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend s
        JOIN pg_sequence q ON q.seqrelid = s.objid
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.objid AND d.refobjsubid = 0
        WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass AND s.refobjid = {_OID}
          AND s.deptype = 'i'""",
    ),
    (
        "foreign-key", "note", "Foreign keys of this table",
        "They go over with the switch, which locks the tables that they point to as well.",
        "Nothing to do; they are looked at afterwards, beside the traffic.",
        f"SELECT conname FROM pg_constraint WHERE conrelid = {_OID} AND contype = 'f' AND confrelid <> conrelid",
    ),
    (
        "view", "note", "Views read this table",
        "The switch defines them anew, in less than a millisecond each; who reads them waits as long as for the table.",
        "Nothing to do: owners, rights and options stay.",
        f"SELECT DISTINCT v.oid::regclass::text FROM {_READING} AND v.relkind = 'v' AND r.rulename = '_RETURN'",
    ),
    (
        "view-of-others", "blocker", "Views of others read this table",
        "Only their owners can define them anew.", "Work as a member of their owners.",
        f"""SELECT DISTINCT v.oid::regclass::text FROM {_READING} AND v.relkind = 'v'
        AND NOT pg_has_role(v.relowner, 'USAGE')""",
    ),
    (
        "view-by-primary-key", "blocker", "Views group by the primary key of this table",
        "The new table's primary key has one column more, so they cannot be defined on it.",
        "Let them group by all columns that they show.",
        f"""SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        JOIN pg_constraint c ON c.oid = d.refobjid AND c.conrelid = {_OID}
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_constraint'::regclass""",
    ),
    (
        "materialized-view", "blocker", "Materialized views read this table",
        "They would go on reading the old table when they are refreshed.",
        "Let them read a view of it, which is carried over; or drop them, and make them again after the switch.",
        f"SELECT DISTINCT v.oid::regclass::text FROM {_READING} AND v.relkind = 'm'",
    ),
    (
        "rule", "blocker", "Rules rewrite statements on this table, or name it",
        "The new table would do without them, or they would write the old one.",
        "Replace them by triggers or drop them.",
        f"""SELECT rulename FROM pg_rewrite WHERE ev_class = {_OID}
        UNION SELECT r.rulename FROM {_READING} AND r.rulename <> '_RETURN'""",
    ),
    (
        "trigger", "note", "Triggers fire on this table",
        "They fire for what the service writes, not for copies. A change of the key fires those of DELETE and INSERT.",
        "Be sure that no BEFORE trigger changes the partition key.",
        # Those of a cutover under way go with it.
        f"""SELECT tgname FROM pg_trigger
        WHERE tgrelid = {_OID} AND NOT tgisinternal AND NOT starts_with(tgname, 'bedplate_')""",
    ),
    (
        "trigger-of-rows", "blocker", "Triggers for each row use transition tables",
        "PostgreSQL has no such triggers on partitioned tables.", "Write them for each statement.",
        f"""SELECT tgname FROM pg_trigger WHERE tgrelid = {_OID} AND NOT tgisinternal AND tgtype & 1 = 1
        AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL)""",
    ),
    (
        "row-security", "note", "Row security guards this table",
        "Policies come with the switch; partitions by their own names have none, but nobody else has rights on them.",
        "Nothing to do.",
        f"""SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = {_OID}
        UNION ALL SELECT 'enabled' FROM pg_class WHERE oid = {_OID} AND relrowsecurity""",
    ),
    (
        "row-security-of-worker", "blocker", "Row security hides rows of this table from this user",
        "Rows that cannot be seen cannot be copied.", "Give it BYPASSRLS, or do not FORCE row security on its owner.",
        f"SELECT current_user WHERE row_security_active({_OID})",
    ),
    (
        "policy-elsewhere", "blocker", "Policies of other tables look into this one",
        "They would go on looking into the old table.", "Let them call a function, or drop them.",
        f"""SELECT DISTINCT p.polname FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid AND p.polrelid <> {_OID}
        WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}""",
    ),
    (
        "publication-via-root", "note", "Publications name this table",
        "The switch exchanges the tables; subscribers get the same name before and after, and no row twice.",
        "Nothing to do.",
        f"""SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE r.prrelid = {_OID} AND p.pubviaroot AND pg_has_role(p.pubowner, 'USAGE')""",
    ),
    (
        "publication", "blocker", "Publications name this table, and its partitions by their own names, or are others'",
        "Subscribers would get changes of tables that they do not have.",
        "ALTER PUBLICATION … SET (publish_via_partition_root), and work as a member of its owner.",
        f"""SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE r.prrelid = {_OID} AND NOT (p.pubviaroot AND pg_has_role(p.pubowner, 'USAGE'))""",
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
        "subscription", "blocker", "Subscriptions write this table",
        "They would not know the new table, and leave its changes out.", "Move it where it is published.",
        f"""SELECT s.subname FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
        WHERE r.srrelid = {_OID}""",
    ),
    (
        "inheritance", "blocker", "Tables inherit from this one, or it from them",
        "A partitioned table takes part in no inheritance.", "Take it out with NO INHERIT.",
        f"""SELECT CASE WHEN inhrelid = {_OID} THEN inhparent ELSE inhrelid END::regclass::text
        FROM pg_inherits WHERE inhrelid = {_OID} OR (inhparent = {_OID}
          AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = {_OID} AND c.relkind = 'p'))""",
    ),
    (
        "function", "blocker", "Functions are bound to the type of this table's rows",
        "They would go on working with the old table's.", "Drop them, and make them again after the switch.",
        f"""SELECT DISTINCT d.objid::regprocedure::text FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.refclassid = 'pg_type'::regclass AND d.refobjid IN {_ROW_TYPES}""",
    ),
    (
        "function-body", "note", "Functions have a body that is bound to this table",
        "The switch defines them anew.", "Nothing to do.",
        f"""SELECT DISTINCT d.objid::regprocedure::text FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}""",
    ),
    (
        "function-of-others", "blocker", "Functions of others are bound to this table",
        "Only their owners can define them anew.", "Work as a member of their owners.",
        f"""SELECT DISTINCT p.oid::regprocedure::text FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
        WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID}
          AND NOT pg_has_role(p.proowner, 'USAGE')""",
    ),
    (
        "row-type", "blocker", "Columns elsewhere have the type of this table's rows",
        "They would keep the type of the old table.", "Give them another type.",
        f"""SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute a JOIN pg_type t
        ON a.atttypid IN (t.oid, t.typarray) WHERE t.typrelid = {_OID} AND NOT a.attisdropped""",
    ),
    (
        "security-label", "blocker", "Security labels are on this table",
        "The new table would do without them.", "Remove them, and set them again after the switch.",
        f"SELECT provider FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = {_OID}",
    ),
    (
        "extension", "blocker", "The table belongs to an extension",
        "The new table would not.", "Leave it where it is.",
        f"""SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = {_OID} AND d.deptype = 'e'""",
    ),
    (
        "bound", "blocker", "Things that no cutover knows are bound to this table",
        "They would stay with the old table.", "Drop them, and make them again after the switch.",
        f"""SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = {_OID} AND d.classid NOT IN (
          'pg_attrdef'::regclass, 'pg_class'::regclass, 'pg_constraint'::regclass, 'pg_policy'::regclass,
          'pg_proc'::regclass, 'pg_publication_rel'::regclass, 'pg_rewrite'::regclass, 'pg_statistic_ext'::regclass,
          'pg_trigger'::regclass, 'pg_type'::regclass)""",
    ),
)  # fmt: skip


#: What is bound to partitions by themselves, who only follow after a rollback.
_TO_PARTITIONS = """WITH parts AS (SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = %s)
SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM parts)
  AND NOT tgisinternal AND tgparentid = 0 AND NOT starts_with(tgname, 'bedplate_')
UNION ALL SELECT DISTINCT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM parts)
    AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass)
UNION ALL SELECT 'foreign key ' || conname || ' of ' || conrelid::regclass FROM pg_constraint
  WHERE contype = 'f' AND conparentid = 0 AND confrelid IN (SELECT oid FROM parts)
UNION ALL SELECT 'publication ' || p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
  WHERE r.prrelid IN (SELECT oid FROM parts) ORDER BY 1"""


def bound(connection: Connection[Any], table: Table, key: str) -> Iterator[Finding]:
    """Yield a finding for each kind of thing that is bound to the table; in a transaction.

    :param table: a plain one before it is switched, or a partitioned one before the way back.
    """
    if table.kind == "p":
        names = [row[0] for row in ask(connection, _TO_PARTITIONS, (table.oid,))]
        if names:
            yield Finding(
                "blocker", "partition", f"{table.schema}.{table.name}",
                f"Partitions have something of their own: {_listed(names)}.",
                "It would go on with partitions that only follow.", "Drop it, or make it on the whole table.",
            )  # fmt: skip
    for code, severity, what, cost, mend, statement in _BOUND:
        rows = connection.execute(statement.encode(), {"oid": table.oid, "key": key}).fetchall()
        names = sorted(str(row[0]) for row in rows)
        if names:
            yield Finding(severity, code, f"{table.schema}.{table.name}", f"{what}: {_listed(names)}.", cost, mend)
    yield from _wide(connection, table, key)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


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
