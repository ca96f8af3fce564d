"""A table as the catalog has it: all that its twin must have, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Column", "Constraint", "Grant", "Index", "Statistic", "Table", "read"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``default`` is also the expression of a generated one, ``sequence`` the options of an identity.

    ``unknown`` names options that are not PostgreSQL's documented ones: some servers give columns numbers of their own.
    """

    name: str
    type: str
    collation: str | None
    required: bool
    default: str | None
    identity: str
    generated: str
    storage: str
    compression: str
    statistics: int
    options: tuple[str, ...]
    comment: str | None
    sequence: tuple[str, int, int, int, int, int, bool] | None
    owned: str | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint; ``kind`` as in ``pg_constraint``: p, u, c, f, x, t."""

    name: str
    kind: str
    definition: str
    columns: tuple[str, ...]
    validated: bool
    comment: str | None
    to_itself: bool


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no constraint brings; ``definition`` begins after the table's name."""

    name: str
    unique: bool
    definition: str
    columns: tuple[str, ...]
    valid: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A right on a table, or on a column of it; ``role`` None is everybody."""

    column: str | None
    role: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class Statistic:
    """Extended statistics; ``definition`` stands between their name and the table's."""

    name: str
    definition: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, without its rows. Names inside are as SQL writes them in full."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    method: str | None
    owner: str
    tablespace: str | None
    options: tuple[str, ...]
    replica_identity: str
    comment: str | None
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[Index, ...]
    statistics: tuple[Statistic, ...]
    grants: tuple[Grant, ...]
    #: Whether nobody has ever granted or revoked anything on the whole table.
    untouched: bool
    #: Who gets rights on a new table by default, which its twin must not get.
    by_default: tuple[str | None, ...]
    version: int

    @property
    def sql(self) -> str:
        """The name in full, quoted."""
        return quoted(self.schema, self.name)

    def of_kind(self, *kinds: str) -> tuple[Constraint, ...]:
        """Return the constraints of some kinds."""
        return tuple(constraint for constraint in self.constraints if constraint.kind in kinds)

    @property
    def primary(self) -> tuple[str, ...]:
        """The columns of the primary key, none if there is none."""
        return next((constraint.columns for constraint in self.of_kind("p")), ())


#: All that can be set on a column.
_OPTIONS = {"n_distinct", "n_distinct_inherited"}

_TABLE = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, am.amname, pg_get_userbyid(c.relowner),
  ts.spcname,
  coalesce(c.reloptions, '{}') || coalesce((SELECT array_agg('toast.' || o) FROM pg_class x, unnest(x.reloptions) o
    WHERE x.oid = c.reltoastrelid), '{}'), c.relreplident::text, obj_description(c.oid, 'pg_class'), c.relacl IS NULL
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace WHERE c.oid = %s"""

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attcollation <> t.typcollation THEN (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname)
    FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END,
  a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text, a.attstorage::text,
  a.attcompression::text, coalesce(a.attstattarget, -1)::int, coalesce(a.attoptions, '{}'),
  col_description(a.attrelid, a.attnum),
  (SELECT ARRAY[format_type(s.seqtypid, NULL), s.seqstart::text, s.seqincrement::text, s.seqmin::text, s.seqmax::text,
    s.seqcache::text, s.seqcycle::text] FROM pg_depend p JOIN pg_sequence s ON s.seqrelid = p.objid
    WHERE p.classid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
      AND p.deptype = 'i'),
  (SELECT p.objid::regclass::text FROM pg_depend p JOIN pg_sequence s ON s.seqrelid = p.objid
    WHERE p.classid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
      AND p.deptype = 'a' ORDER BY 1 LIMIT 1)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

_CONSTRAINTS = """
SELECT c.conname, c.contype::text, pg_get_constraintdef(c.oid),
  ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
  c.convalidated, obj_description(c.oid, 'pg_constraint'), c.confrelid = c.conrelid
FROM pg_constraint c WHERE c.conrelid = %s AND c.contype <> 'n' ORDER BY c.contype, c.conname"""

_INDEXES = """
SELECT x.relname, i.indisunique, pg_get_indexdef(i.indexrelid),
  ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE k.place <= i.indnkeyatts ORDER BY k.place), i.indisvalid, obj_description(x.oid, 'pg_class')
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid
  AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u', 'x')) ORDER BY x.relname"""

_GRANTS = """
SELECT NULL::text, pg_get_userbyid(nullif(g.grantee, 0)), g.privilege_type, g.is_grantable
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g WHERE c.oid = %(oid)s
UNION ALL SELECT a.attname, pg_get_userbyid(nullif(g.grantee, 0)), g.privilege_type, g.is_grantable
FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, 3, 4"""

_BY_DEFAULT = """
SELECT DISTINCT pg_get_userbyid(nullif(g.grantee, 0)) FROM pg_default_acl d, aclexplode(d.defaclacl) g
WHERE d.defaclobjtype = 'r' ORDER BY 1 NULLS FIRST"""

_STATISTICS = """
SELECT s.stxname, n.nspname, pg_get_statisticsobjdef(s.oid), obj_description(s.oid, 'pg_statistic_ext')
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = %s ORDER BY s.stxname"""


def read(connection: Connection[Any], name: str) -> Table:
    """Read a table from the catalog; in a transaction of :func:`~bedplate.database.cutover.asking.transaction`.

    :raises CutoverError: when there is no table of this name.
    """
    try:
        ask(connection, "SET LOCAL search_path TO DEFAULT")
        with connection.transaction():
            oid = ask(connection, "SELECT to_regclass(%s)::oid", (name,))[0][0]
    except Exception as error:
        raise CutoverError(f"{name} is no name of a table.", 'Write schema.table, or "Schema"."Table".') from error
    ask(connection, "SET LOCAL search_path = pg_catalog")
    found = ask(connection, _TABLE, (oid,)) if oid else []
    if not found or found[0][3] not in "rp":
        raise CutoverError(f"There is no table {name}.", "Write schema.table as it is in the database.")
    *head, untouched = found[0]
    values = dict(
        zip(
            "oid schema name kind persistence method owner tablespace options replica_identity comment".split(),
            head,
            strict=True,
        )
    )
    values["options"] = tuple(sorted(values["options"]))
    sql = ask(connection, "SELECT %s::oid::regclass::text", (oid,))[0][0]
    rows = connection.execute(_GRANTS.encode(), {"oid": oid}).fetchall()
    grants = tuple(Grant(*row) for row in rows)
    return Table(
        **values,
        columns=tuple(_column(row) for row in ask(connection, _COLUMNS, (oid,))),
        constraints=tuple(
            Constraint(one, kind, text, tuple(columns), valid, comment, own)
            for one, kind, text, columns, valid, comment, own in ask(connection, _CONSTRAINTS, (oid,))
        ),
        indexes=tuple(
            Index(one, unique, _after(text, sql), tuple(columns), valid, comment)
            for one, unique, text, columns, valid, comment in ask(connection, _INDEXES, (oid,))
        ),
        statistics=tuple(
            Statistic(one, _between(text, one, schema, sql), comment)
            for one, schema, text, comment in ask(connection, _STATISTICS, (oid,))
        ),
        grants=grants,
        untouched=untouched,
        by_default=tuple(row[0] for row in ask(connection, _BY_DEFAULT)),
        version=connection.info.server_version // 10000,
    )


def _column(row: Sequence[Any]) -> Column:
    options, comment, sequence, owned = row[-4:]
    found = None
    if sequence is not None:
        start, increment, least, greatest, cache = (int(text) for text in sequence[1:6])
        found = (sequence[0], start, increment, least, greatest, cache, sequence[6] == "true")
    known = tuple(option for option in options if option.partition("=")[0] in _OPTIONS)
    unknown = tuple(option.partition("=")[0] for option in options if option not in known)
    return Column(*(*row[:-4], known, comment, found, owned, unknown))


def _after(definition: str, sql: str) -> str:
    """Return what follows the table's name in an index' definition."""
    for only in ("", "ONLY "):
        _, found, rest = definition.partition(f" ON {only}{sql} ")
        if found:
            return rest
    raise CutoverError(f"The definition of an index is unknown: {definition}.", "Report it with this line.")


def _between(definition: str, name: str, schema: str, sql: str) -> str:
    """Return the kinds and columns of extended statistics."""
    rest = definition.removeprefix("CREATE STATISTICS ")
    for one in (quoted(schema, name), f"{schema}.{name}", f"{schema}.{quoted(name)}", f"{quoted(schema)}.{name}"):
        if rest.startswith(f"{one} ") and rest.endswith(f" FROM {sql}"):
            return rest[len(one) + 1 : -len(f" FROM {sql}")]
    raise CutoverError(f"The definition of statistics is unknown: {definition}.", "Report it with this line.")
