"""Emptying the shadow, in whole or in part, as the live table was emptied."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted
from bedplate.database.cutover.work import Pair

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["empty"]

_BOUND = """SELECT pg_get_expr(c.relpartbound, c.oid), a.attname FROM pg_class c
JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = to_regclass(%s)
JOIN pg_partitioned_table p ON p.partrelid = i.inhparent
JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attnum = p.partattrs[0] WHERE c.oid = %s"""


def empty(connection: Connection[Any], pair: Pair, truncated: Sequence[int]) -> None:
    """Empty the shadow of a pair in the open transaction.

    Whoever writes the live table after its TRUNCATE has waited for that to commit. So every row that is there since is
    named in the log, and everything older must go.

    :param truncated: the OIDs of what was truncated: the live table, or partitions of it.
    :raises CutoverError: when one of them is not a partition any more.
    """
    live = ask(connection, "SELECT to_regclass(%s)::oid", (pair.live,))[0][0]
    if live in truncated:
        ask(connection, f"TRUNCATE {pair.shadow}")
        return
    for partition in dict.fromkeys(truncated):
        rows = ask(connection, _BOUND, (pair.live, partition))
        found = re.search(r"modulus (\d+), remainder (\d+)", rows[0][0]) if rows else None
        if found is None:
            what = f"A partition of {pair.live} was truncated and is not one any more."
            raise CutoverError(what, "Which rows it had is not known: roll the cutover back and begin again.")
        modulus, remainder = (int(number) for number in found.groups())
        condition = f"satisfies_hash_partition({live}::oid, {modulus}, {remainder}, {quoted(rows[0][1])})"
        ask(connection, f"DELETE FROM {pair.shadow} WHERE {condition}")
