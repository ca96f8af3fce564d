"""The structure of a database as a transfer needs it, read from either."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Column", "Index", "Reference", "Schema", "Table"]

#: Tables of the transfer's own begin so.
OWN = "bedplate_transfer"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``type`` and ``default`` as its database writes them. ``counted``: it numbers rows by itself."""

    name: str
    type: str
    required: bool = False
    default: str | None = None
    generated: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index or unique constraint; ``columns`` is empty when it is on expressions or on some rows only."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    constraint: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key."""

    columns: tuple[str, ...]
    table: str
    others: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. ``checks``: how many CHECK constraints it has."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    references: tuple[Reference, ...] = ()
    checks: int = 0

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that are not computed from others."""
        return tuple(column for column in self.columns if not column.generated)


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables, by name, and in words what else there is that a transfer does not move."""

    dialect: str
    tables: dict[str, Table]
    others: tuple[str, ...] = ()
