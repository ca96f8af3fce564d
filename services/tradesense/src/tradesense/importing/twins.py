"""Telling trades that are there already from genuine twins.

Two equal rows of one file are two trades: somebody bought the same twice in a second. Two equal rows of two files are
one trade, told of twice. So:

1. A row whose id the broker gave to a single execution is there when that id is.
2. Any other is compared by its fingerprint, and counted: a file that tells of a trade three times, where two are there
   already, adds one. An id that is new but whose trade was imported without ids, from another kind of file, is found
   so.

Within a file, an id that comes again is the same trade once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tradesense.trades import Trade

__all__ = ["Known", "fresh"]


class Known(NamedTuple):
    """What is compared of a trade that is there."""

    account: str
    broker_id: str
    fingerprint: str


def fresh(trades: Sequence[Trade], known: Iterable[Known]) -> list[int]:
    """Return the places of those trades that are not there yet.

    :param known: everything that the user has, at least of the days that the trades are of.
    """
    ids: set[tuple[str, str]] = set()
    nameless: Counter[str] = Counter()
    named: Counter[str] = Counter()
    prints: dict[tuple[str, str], str] = {}
    for account, broker_id, fingerprint in known:
        if broker_id:
            ids.add((account, broker_id))
            named[fingerprint] += 1
            prints[account, broker_id] = fingerprint
        else:
            nameless[fingerprint] += 1
    places = []
    for place, trade in enumerate(trades):
        mark = trade.fingerprint()
        key = (trade.account, trade.broker_id)
        if trade.broker_id:
            if key in ids:
                # It is accounted for: rows without an id are not to be taken for it as well.
                if prints.pop(key, "") == mark:
                    named[mark] -= 1
                continue
            ids.add(key)
            if nameless[mark] > 0:
                nameless[mark] -= 1
                continue
        elif nameless[mark] > 0:
            nameless[mark] -= 1
            continue
        elif named[mark] > 0:
            named[mark] -= 1
            continue
        places.append(place)
    return places
