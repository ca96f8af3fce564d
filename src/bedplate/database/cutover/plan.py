"""What is to be moved to partitions, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bedplate.problems import DeclarationError

__all__ = ["NAME", "Mode", "Plan"]

#: PostgreSQL's own limit of a name, in bytes.
NAME = 63

#: ``capture`` logs keys, loads plainly, builds indexes in bulk and replays; ``dual-write`` keeps both tables equal by
#: triggers from the start, which costs writers more and needs no replay.
Mode = Literal["capture", "dual-write"]


@dataclass(frozen=True, slots=True, init=False)
class Plan:
    """Tables that move, together and while they are written to, to hash partitions.

    :param tables: one name or several, as SQL takes them: ``"orders"``, ``"sales.orders"``.
    :param key: the column of each table that partitions it; rows with the same value stay together.
    :param partitions: how many; queries with the key read one of them, all others read all.
    :param mode: how the twins get their rows.
    :raises DeclarationError: when that cannot be right for any database.
    """

    tables: tuple[str, ...]
    key: str
    partitions: int
    mode: Mode

    def __init__(
        self, *, tables: str | tuple[str, ...] | list[str], key: str, partitions: int = 64, mode: Mode = "capture"
    ) -> None:
        names = (tables,) if isinstance(tables, str) else tuple(tables)
        if not names or not all(name.strip() for name in names):
            raise DeclarationError("A cutover without tables moves nothing.", 'Write tables=("orders",).')
        if len(set(names)) != len(names):
            raise DeclarationError("A cutover names a table twice.", "Name each table once.")
        if not key or len(key.encode()) > NAME:
            raise DeclarationError("A cutover needs the name of the key's column.", 'Write key="organization_id".')
        if not 2 <= partitions <= 1024:
            raise DeclarationError(
                f"{partitions} partitions are no sensible number.", "Choose 2 to 1024; 16 to 64 serve most tables."
            )
        if mode not in ("capture", "dual-write"):
            raise DeclarationError(f"{mode!r} is no mode of a cutover.", 'Write mode="capture" or mode="dual-write".')
        object.__setattr__(self, "tables", names)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "partitions", partitions)
        object.__setattr__(self, "mode", mode)
