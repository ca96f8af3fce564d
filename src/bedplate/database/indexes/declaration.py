"""What a component says of its indexes: each with the question that it answers, so that somebody can ask it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bedplate.problems import DeclarationError

if TYPE_CHECKING:
    from bedplate.component import Component
    from bedplate.database.indexes.forms import Form

__all__ = ["NAME", "AccessPath", "HasIndexes", "Index", "declared_for", "in_words"]

#: PostgreSQL's own limit of a name, in bytes.
NAME = 63
#: What stands in a statement for the condition of a searching index, whose parameter is ``:words``.
MATCHES = "{matches}"

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_TABLE = re.compile(r"(?:[a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*\Z")
_READS = re.compile(r"\s*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)", re.IGNORECASE)
_METHODS = ("btree", "gin", "gist", "brin", "hash", "spgist")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPath:
    """A question that is asked of a table often enough to deserve an index.

    :param statement: the query, which only reads, with named parameters: ``… WHERE user_id = :user``. In that of a
        searching index ``{matches}`` stands for its condition, whose parameter is ``:words``.
    :param asked: who asks it and when, in one sentence for whoever wonders whether the index may go.
    :param sample: values of the parameters, or a query that returns rows of them, named alike: the commonest and the
        dearest ones. The first five rows are tried.
    """

    statement: str
    asked: str
    sample: Mapping[str, Any] | str = ""

    def __post_init__(self) -> None:
        if not _READS.match(self.statement):
            raise DeclarationError(
                f"The access path {_short(self.statement)} is no query.", "It is tried: write a SELECT."
            )
        if not self.asked.strip():
            raise DeclarationError(
                f"Nobody is said to ask {_short(self.statement)}.", "Say in one sentence who asks it, and when."
            )
        if isinstance(self.sample, str):
            if self.sample and not _READS.match(self.sample):
                raise DeclarationError(
                    f"The sample {_short(self.sample)} is no query.",
                    "Write a SELECT, or a mapping.",
                )
            if not self.sample and self.parameters:
                raise DeclarationError(
                    f"No value is given for :{self.parameters[0]} of {_short(self.statement)}.",
                    "Give sample values, or a query that picks some.",
                )
        else:
            missing = [name for name in self.parameters if name not in self.sample]
            if missing:
                raise DeclarationError(
                    f"No value is given for :{missing[0]} of {_short(self.statement)}.", "Give all sample values."
                )
            object.__setattr__(self, "sample", dict(self.sample))

    def __hash__(self) -> int:
        return hash((self.statement, self.asked))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the statement's parameters."""
        found = _PARAMETER.findall(self.statement)
        return tuple(dict.fromkeys([*found, *(["words"] if MATCHES in self.statement else [])]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that a component wants, and why.

    .. code-block:: python

        Index(
            name="ix_orders_customer_at",
            table="orders",
            on=("customer_id", "at DESC"),
            path=AccessPath(
                statement="SELECT * FROM orders WHERE customer_id = :customer ORDER BY at DESC LIMIT 50",
                sample="SELECT customer_id AS customer FROM orders GROUP BY 1 ORDER BY count(*) DESC LIMIT 3",
                asked="The first page of a customer's orders, with each visit.",
            ),
        )

    :param on: columns or expressions, in the order that counts, each with ``ASC`` or ``DESC`` where it matters.
    :param where: the condition of a partial index. :param include: columns that PostgreSQL keeps beside the key.
    :param method: PostgreSQL's; SQLite has one. :param operators: operator classes by column or expression.
    :param extensions: what PostgreSQL must have created for it: ``btree_gin``, ``pg_trgm``.
    :param form: what the index is where it is none of its kind, for full text, trigrams and JSON: see the helpers.
    """

    name: str
    table: str
    on: tuple[str, ...]
    path: AccessPath
    where: str = ""
    include: tuple[str, ...] = ()
    unique: bool = False
    method: str = "btree"
    operators: tuple[tuple[str, str], ...] = ()
    extensions: tuple[str, ...] = ()
    form: Form | None = None

    def __post_init__(self) -> None:
        if not _PLAIN.match(self.name) or len(self.name) > NAME:
            raise DeclarationError(
                f"{self.name!r} is no plain name of an index.", f"Use lower-case letters, digits and _, at most {NAME}."
            )
        if not _TABLE.match(self.table):
            raise DeclarationError(
                f"{self.table!r} is no plain name of a table.", "Write table, or schema.table, in lower case."
            )
        for member in ("on", "include", "extensions"):
            value = getattr(self, member)
            object.__setattr__(self, member, (value,) if isinstance(value, str) else tuple(value))
        operators: Any = self.operators
        object.__setattr__(self, "operators", tuple(dict(operators).items()))
        if not self.on or not all(item.strip() for item in self.on):
            raise DeclarationError(f"The index {self.name} is on nothing.", 'Write on=("column",).')
        if self.method not in _METHODS:
            raise DeclarationError(
                f"The index {self.name} has no method {self.method!r}.", f"It is one of {', '.join(_METHODS)}."
            )
        unknown = [item for item, _ in self.operators if item not in self.on]
        if unknown:
            raise DeclarationError(
                f"The index {self.name} has an operator class for {unknown[0]}, which it is not on.",
                "Name it as in on=.",
            )
        if self.unique and self.method != "btree":
            raise DeclarationError(f"The index {self.name} cannot be unique.", "Only those of method btree can.")

    @property
    def plain_table(self) -> str:
        """The table's name without its schema."""
        return self.table.rpartition(".")[2]


@runtime_checkable
class HasIndexes(Protocol):
    """A component whose queries deserve indexes, in a database that it names in its ``needs``."""

    def indexes(self) -> Sequence[Index]:
        """Return them; called once or more, without I/O."""
        ...


def declared_for(database: object, components: Iterable[Component]) -> tuple[Index, ...]:
    """Return the indexes of all components that need a database.

    :raises DeclarationError: when two of them have one name.
    """
    found: dict[str, Index] = {}
    for component in components:
        if isinstance(component, HasIndexes) and any(need is database for need in component.spec.needs):
            for index in component.indexes():
                if index.name in found:
                    raise DeclarationError(f"Two indexes are named {index.name}.", "Rename one of them.")
                found[index.name] = index
    return tuple(found.values())


def in_words(names: Sequence[str], most: int = 5) -> str:
    """Return names as people list them: at most some, and how many more."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
