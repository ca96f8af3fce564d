"""Making given rows of a shadow what they are in the live table, and saying whether they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import changed, locally, quoted, transaction
from bedplate.database.cutover.catalog import read
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.parity import Difference
from bedplate.database.cutover.parity.digest import Digest, relation
from bedplate.database.cutover.work import Pair

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

__all__ = ["Follower", "Key", "apply", "differing"]

#: The values of a pair's identifying columns, as PostgreSQL writes them.
Key = tuple[str, ...]


class Follower:
    """The statements by which the shadow of a pair follows, made once and then used in open transactions.

    Making one reads the catalog, so make it before a lock is held. It is good for as long as both tables keep their
    columns and names.

    :raises CutoverError: when one is not there, or their columns are not the same.
    """

    def __init__(self, connection: Connection[Any], pair: Pair) -> None:
        self.pair = pair
        with transaction(connection):
            source = read(connection, pair.live)
            one, other = (relation(connection, name) for name in (pair.live, pair.shadow))
            digest = Digest.of(one, other, pair.primary, random.SystemRandom().getrandbits(62))
        self.columns = ", ".join(quoted(column.name) for column in source.columns if not column.generated)
        names = [f"k{number}" for number in range(len(pair.primary))]
        arrays = ", ".join("%s::text[]" for _ in names)
        typed = ", ".join(
            f"{name}::{known.type} AS {name}" for name, known in zip(names, digest.identified_by, strict=True)
        )
        # Texts that differ can be equal values: 1.0 and 1.00.
        wanted = f"(SELECT DISTINCT {typed} FROM unnest({arrays}) AS given({', '.join(names)})) w"
        same = " AND ".join(f"t.{quoted(column)} = w.{name}" for column, name in zip(pair.primary, names, strict=True))
        self._delete = f"DELETE FROM {pair.shadow} t USING {wanted} WHERE {same}"
        # OFFSET 0 lets each key be looked up by itself, whatever the planner believes of sizes.
        self._insert = (
            f"INSERT INTO {pair.shadow} ({self.columns}) OVERRIDING SYSTEM VALUE SELECT r.* FROM {wanted} "
            f"CROSS JOIN LATERAL (SELECT {self.columns} FROM {pair.live} t WHERE {same} OFFSET 0) r"
        )
        texts = ", ".join(f"w.{name}::text" for name in names)
        sides = " ".join(
            f"LEFT JOIN LATERAL (SELECT {digest.row} AS h FROM {table} t WHERE {same} OFFSET 0) {side} ON true"
            for side, table in (("l", pair.live), ("s", pair.shadow))
        )
        self._compare = (
            "SELECT CASE WHEN s.h IS NULL THEN 'missing' WHEN l.h IS NULL THEN 'extra' ELSE 'different' END, "
            f"{texts} FROM {wanted} {sides} WHERE l.h IS DISTINCT FROM s.h"
        )

    def warm(self, connection: Connection[Any]) -> None:
        """Let the server plan the statements, which takes longer than they do: call it before a lock is held."""
        with transaction(connection):
            self.settle(connection)
            for statement in (self._delete, self._insert, self._compare):
                connection.execute(statement.encode(), [[] for _ in self.pair.primary], prepare=True)

    def apply(self, connection: Connection[Any], keys: Sequence[Key]) -> int:
        """Make the rows of these keys in the shadow what they are in the live table; return how many there are.

        :raises psycopg.errors.UniqueViolation: when another key's row, which has changed as well, is in the way; apply
            all keys that have changed at once.
        """
        self.remove(connection, keys)
        return self.copy(connection, keys)

    def remove(self, connection: Connection[Any], keys: Sequence[Key]) -> int:
        """Remove the rows of these keys from the shadow; return how many there were."""
        return _prepared(connection, self._delete, keys).rowcount if keys else 0

    def copy(self, connection: Connection[Any], keys: Sequence[Key]) -> int:
        """Copy the rows of these keys to the shadow, which must have none of them."""
        return _prepared(connection, self._insert, keys).rowcount if keys else 0

    def forget(self, connection: Connection[Any], log: KeyLog) -> int:
        """Remove the rows of all keys in a log from the shadow, which needs no index for that; return how many."""
        names = [f"k{number}" for number in range(len(self.pair.primary))]
        same = " AND ".join(f"t.{quoted(one)} = w.{name}" for one, name in zip(self.pair.primary, names, strict=True))
        keys = f"(SELECT DISTINCT {', '.join(names)} FROM {log.sql}) w"
        return changed(connection, f"DELETE FROM {self.pair.shadow} t USING {keys} WHERE {same}")

    def differing(self, connection: Connection[Any], keys: Sequence[Key]) -> list[Difference]:
        """Return which of these keys' rows are not the same in both tables, as of one snapshot."""
        if not keys:
            return []
        return [Difference(kind, tuple(key)) for kind, *key in _prepared(connection, self._compare, keys).fetchall()]

    @staticmethod
    def settle(connection: Connection[Any]) -> None:
        """Set what the statements need, until the open transaction ends; call it once before them."""
        locally(
            connection,
            enable_hashjoin="off",
            enable_mergejoin="off",
            enable_seqscan="off",
            jit="off",
            plan_cache_mode="force_generic_plan",
            row_security="off",
            statement_timeout="0",
            synchronous_commit="off",
        )


def apply(connection: Connection[Any], pair: Pair, keys: Sequence[Key]) -> int:
    """Make the rows of these keys in the shadow what they are in the live table, in the open transaction.

    It reads the catalog first; who has no time for that makes a :class:`Follower` before.

    :return: how many of the keys have a row.
    """
    return Follower(connection, pair).apply(connection, keys)


def differing(connection: Connection[Any], pair: Pair, keys: Sequence[Key]) -> list[Difference]:
    """Return which of these keys' rows are not the same in both tables, in the open transaction; see :func:`apply`."""
    return Follower(connection, pair).differing(connection, keys)


def _prepared(connection: Connection[Any], statement: str, keys: Sequence[Key]) -> Cursor[Any]:
    # Planning for many partitions takes longer than the work on a few keys.
    return connection.execute(statement.encode(), [list(column) for column in zip(*keys, strict=True)], prepare=True)
