"""What is bound to a table by its OID and can be carried over, as the catalog has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted
from bedplate.database.cutover.catalog import Table

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["OURS", "Bound", "Incoming", "Policy", "Publication", "Trigger", "View", "bound_to"]

#: What cutovers' own triggers begin with; they are no one's to carry over.
OURS = "bedplate_"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger; ``definition`` has a gap for the table, ``enabled`` is as in ``pg_trigger``: O, D, R, A."""

    name: str
    definition: tuple[str, str]
    enabled: str
    comment: str | None

    def statement(self, table: str) -> str:
        """What makes it on a table."""
        return f"{self.definition[0]} ON {table} {self.definition[1]}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of row security; ``roles`` None is everybody."""

    name: str
    permissive: bool
    command: str
    roles: tuple[str | None, ...]
    using: str | None
    check: str | None
    comment: str | None

    def statements(self, table: str) -> Iterator[str]:
        """What makes it on a table."""
        kind = "PERMISSIVE" if self.permissive else "RESTRICTIVE"
        roles = ", ".join("PUBLIC" if role is None else quoted(role) for role in self.roles)
        using = "" if self.using is None else f" USING ({self.using})"
        check = "" if self.check is None else f" WITH CHECK ({self.check})"
        yield f"CREATE POLICY {quoted(self.name)} ON {table} AS {kind} FOR {self.command} TO {roles}{using}{check}"
        if self.comment is not None:
            yield f"COMMENT ON POLICY {quoted(self.name)} ON {table} IS {literal(self.comment)}"


@dataclass(frozen=True, slots=True)
class View:
    """A view that reads the table by itself; those on views follow them."""

    name: str
    owner: str
    definition: str
    options: tuple[str, ...]

    @property
    def statement(self) -> str:
        """What defines it anew. Owner, rights, comments and what reads the view stay; options only if they are said."""
        pairs = (option.partition("=") for option in self.options)
        options = ", ".join(f"{name} = {literal(value)}" for name, _, value in pairs)
        given = f" WITH ({options})" if options else ""
        return f"CREATE OR REPLACE VIEW {self.name}{given} AS {self.definition.rstrip().rstrip(';')}"


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that names the table; ``rest`` are its columns and condition."""

    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A foreign key of another table that points here; its definition names this table by its live name."""

    oid: int
    table: str
    name: str
    definition: str
    validated: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Bound:
    """All of it; ``functions`` are statements that define them anew."""

    triggers: tuple[Trigger, ...]
    policies: tuple[Policy, ...]
    secured: bool
    forced: bool
    views: tuple[View, ...]
    publications: tuple[Publication, ...]
    incoming: tuple[Incoming, ...]
    functions: tuple[str, ...]


_TRIGGERS = """SELECT t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text, obj_description(t.oid, 'pg_trigger'),
  c.oid::regclass::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgrelid = %s AND NOT t.tgisinternal AND NOT starts_with(t.tgname, %s) ORDER BY t.tgname"""

_POLICIES = """SELECT p.polname, p.polpermissive,
  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
    ELSE 'ALL' END,
  ARRAY(SELECT pg_get_userbyid(nullif(r, 0)) FROM unnest(p.polroles) r ORDER BY 1),
  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy')
FROM pg_policy p WHERE p.polrelid = %s ORDER BY p.polname"""

_SECURITY = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s"

_VIEWS = """SELECT v.oid::regclass::text, pg_get_userbyid(v.relowner), pg_get_viewdef(v.oid),
  coalesce(v.reloptions, '{}') FROM pg_class v WHERE v.relkind = 'v' AND v.oid IN (
    SELECT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass
      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %s AND r.rulename = '_RETURN') ORDER BY 1"""

_PUBLICATIONS = """SELECT p.pubname, ARRAY(SELECT a.attname::text FROM unnest(r.prattrs::int2[]) n
    JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = n ORDER BY a.attnum),
  pg_get_expr(r.prqual, r.prrelid) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
WHERE r.prrelid = %s ORDER BY p.pubname"""

_INCOMING = """SELECT c.conrelid, c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), c.convalidated,
  obj_description(c.oid, 'pg_constraint') FROM pg_constraint c
WHERE c.confrelid = %s AND c.contype = 'f' AND c.conrelid <> c.confrelid AND c.conparentid = 0
ORDER BY 2, c.conname"""

#: Only functions with a body of statements depend on tables that they name.
_FUNCTIONS = """SELECT DISTINCT pg_get_functiondef(p.oid) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %s
  AND p.prosqlbody IS NOT NULL ORDER BY 1"""


def bound_to(connection: Connection[Any], table: Table) -> Bound:
    """Read what is bound to a table; in a transaction of :func:`~bedplate.database.cutover.asking.transaction`."""
    oid = (table.oid,)
    secured, forced = ask(connection, _SECURITY, oid)[0]
    return Bound(
        triggers=tuple(_trigger(row) for row in ask(connection, _TRIGGERS, (table.oid, OURS))),
        policies=tuple(
            Policy(name, permissive, command, tuple(roles), using, check, comment)
            for name, permissive, command, roles, using, check, comment in ask(connection, _POLICIES, oid)
        ),
        secured=secured,
        forced=forced,
        views=tuple(
            View(name, owner, text, tuple(options)) for name, owner, text, options in ask(connection, _VIEWS, oid)
        ),
        publications=tuple(_publication(row) for row in ask(connection, _PUBLICATIONS, oid)),
        incoming=tuple(Incoming(*row) for row in ask(connection, _INCOMING, oid)),
        functions=tuple(row[0] for row in ask(connection, _FUNCTIONS, oid)),
    )


def _trigger(row: Any) -> Trigger:
    name, definition, enabled, comment, table = row
    head, found, rest = definition.partition(f" ON {table} ")
    if not found:
        raise CutoverError(f"The definition of trigger {name} is unknown: {definition}.", "Report it with this line.")
    return Trigger(name, (head, rest), enabled, comment)


def _publication(row: Any) -> Publication:
    name, columns, condition = row
    listed = f" ({', '.join(map(quoted, columns))})" if columns else ""
    return Publication(name, listed + (f" WHERE ({condition})" if condition else ""))
