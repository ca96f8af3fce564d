"""The chain: a record's hash covers all of it and the hash of the record before, so that no change goes unseen.

A record is one line of JSON with its keys in order. ``hash`` is the SHA-256 of that line without ``hash`` itself, and
``previous`` is among what it covers. Whoever alters, removes or inserts a record would have to rewrite all that follow;
the latest hash, kept elsewhere (the service's log carries it), tells that too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["GENESIS", "Verification", "digest", "sealed", "verify"]

#: What the first record has for the hash of the one before it.
GENESIS = "0" * 64

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a log.

    :ivar whole: whether every record is as it was written, and follows the one before it.
    :ivar records: how many were read before the fault, or in all. :ivar fault: what is wrong, in a sentence.
    :ivar place: the file and line of the fault. :ivar first: the number of the first record.
    :ivar head: the hash of the last good record; compare it with one that was kept elsewhere.
    """

    whole: bool
    records: int
    first: int = 0
    head: str = GENESIS
    fault: str = ""
    place: str = ""


def digest(record: Mapping[str, Any]) -> str:
    """Return the hash of a record; a ``hash`` in it does not count."""
    plain = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(orjson.dumps(plain, default=str, option=_OPTIONS)).hexdigest()


def sealed(record: Mapping[str, Any], number: int, previous: str) -> tuple[bytes, str]:
    """Return a record as a line of the log, and its hash."""
    # What JSON lacks becomes text before it is hashed, so that what is read back hashes the same.
    plain = orjson.loads(orjson.dumps({**record, "number": number, "previous": previous}, default=str, option=_OPTIONS))
    plain["hash"] = digest(plain)
    return orjson.dumps(plain, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE), plain["hash"]


def verify(files: Iterable[tuple[str, Iterable[bytes]]]) -> Verification:
    """Check the files of a log, oldest first.

    The first record of the oldest file may follow one that is gone: old files are removed in time.

    :param files: names with their lines.
    """
    records, first, number, head = 0, 0, 0, ""
    for name, lines in files:
        for place, line in enumerate(lines, 1):
            fault = ""
            try:
                record = orjson.loads(line)
                if not isinstance(record, dict):
                    fault = "It is no record."
            except orjson.JSONDecodeError:
                record, fault = {}, "It is not JSON: the line was cut or overwritten."
            if not fault and record.get("hash") != digest(record):
                fault = "The record was changed: its hash is that of another text."
            if not fault and head and record.get("previous") != head:
                fault = "It does not follow the record before it: one was removed, inserted or moved."
            if not fault and head and record.get("number") != number + 1:
                fault = "Its number does not follow the one before it."
            if not fault and not head and record.get("number") == 1 and record.get("previous") != GENESIS:
                fault = "It claims to be the first record and is not."
            if fault:
                return Verification(False, records, first, head or GENESIS, fault, f"{name}, line {place}")
            number, head = int(record["number"]), str(record["hash"])
            first = first or number
            records += 1
    return Verification(True, records, first, head or GENESIS)
