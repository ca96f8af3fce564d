"""The slot of a key, as Redis Cluster computes it."""

from __future__ import annotations

from binascii import crc_hqx

__all__ = ["SLOTS", "slot_of"]

SLOTS = 16384


def slot_of(key: str) -> int:
    """Return the slot of a key: CRC-16/XMODEM of the first ``{…}`` in it that is not empty, else of all of it."""
    start = key.find("{")
    if start >= 0:
        end = key.find("}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key.encode(), 0) % SLOTS
