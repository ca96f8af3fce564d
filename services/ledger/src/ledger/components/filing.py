"""One file on its way into the books: in portions, in one transaction, so that little of it is an object at once.

What takes others back comes last, when it is known what became of those: it names them by the numbers that they had
where the file was written.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ledger.entries import Entry, checked
from ledger.reading import EXPORTED, Back, Fault, Reader, Reading
from ledger.records import journal
from ledger.records.posting import Posted, post, prepared
from ledger.records.transactions import documents
from ledger.scope import Scope

__all__ = ["Filing", "Outcome"]

#: Faults that are told one by one.
TOLD: Final = 100
#: Rows that are read, prepared and posted at once. SQLite's driver makes the most of them on the event loop.
_PORTIONS: Final = {"postgresql": 200, "sqlite": 50}
#: How often what was taken back may be taken back again in one file.
_DEEPEST: Final = 8
_EXPORTED: Final = re.compile(re.escape(EXPORTED) + r"(\d{1,18})", re.ASCII)

#: An account of revenue or expense, what it is against, minor units and currency: what the one that takes it back has,
#: too, but for the sign.
Document = tuple[str, str, str, int, str]
_NONE: Final[Document] = ("", "", "", 0, "")
#: Calls a function in a thread.
Apart = Callable[..., Awaitable[Any]]


class _Row(NamedTuple):
    """What became of a row that others may take back. :ivar id: of its entry; 0 when it was not posted."""

    id: int
    document: Document


@dataclass(slots=True)
class Outcome:
    """What became of a file's rows. :ivar told: the first faults. :ivar kinds: of entries that were added."""

    added: int = 0
    known: int = 0
    taken: int = 0
    faulty: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def fault(self, fault: Fault) -> None:
        """Note a row that cannot be posted."""
        self.faulty += 1
        if len(self.told) < 2 * TOLD:
            self.told.append({"line": fault.line, "column": fault.column, "what": fault.what, "mend": fault.mend})


class Filing:
    """Posts what a reader reads; for one attempt at one transaction.

    :param ids: new numbers, as many as the file can have rows. :param now: microseconds since 1970.
    :param apart: calls what takes long in a thread.
    """

    def __init__(self, reader: Reader, ids: Sequence[int], now: int, dialect: str, apart: Apart) -> None:
        self._reader = reader
        self._ids = iter(ids)
        self._now = now
        self._dialect = dialect
        self._apart = apart
        self._portion = _PORTIONS[dialect]
        #: By their numbers in the file. A plain tuple of plain values costs the garbage collector nothing.
        self._rows: dict[int, tuple[int, Document]] = {}
        self.outcome = Outcome()

    async def carry_out(self, scope: Scope) -> Outcome:
        """Post everything that can be. :raises BadFile: when it turns out to be no file that can be read."""
        ahead = asyncio.ensure_future(self._apart(self._reader.portion, self._portion))
        try:
            while len(reading := await ahead):
                # The next is read while this one is posted: whoever else posts waits for the transaction's end.
                ahead = asyncio.ensure_future(self._apart(self._reader.portion, self._portion))
                await self._post(scope, reading)
        finally:
            # A thread cannot be cancelled, and its reader is not to be met again.
            await asyncio.gather(ahead, return_exceptions=True)
        if self._reader.backs:
            await self._take_back(scope)
        self.outcome.told = sorted(self.outcome.told, key=lambda fault: fault["line"])[:TOLD]
        return self.outcome

    async def _post(self, scope: Scope, reading: Reading) -> None:
        for fault in reading.faults:
            self.outcome.fault(fault)
        self._rows.update((id, (0, _NONE)) for id in reading.bad if id)
        entries = reading.entries
        if not entries:
            return
        there = await self._there(scope, entries)
        others = [entry for place, entry in enumerate(entries) if place not in there]
        posted = iter(await self._posted(scope, others) if others else ())
        targets = sorted({entry.reverses for entry in entries if entry.reverses})
        backs = await journal.reversals(scope, targets) if targets else {}
        for place, (line, id, entry) in enumerate(zip(reading.lines, reading.ids, entries, strict=True)):
            one = there[place] if place in there else next(posted)
            back = backs.get(entry.reverses or 0) if one.outcome == "taken" else None
            if back is not None:
                one = Posted(back[0], "known" if back[1] == entry.digest() else "taken")
            self._count(line, entry, one, reversed=back is not None)
            if id:
                self._rows[id] = (one.id if one.outcome != "taken" else 0, _document(entry))

    def _count(self, line: int, entry: Entry, one: Posted, *, reversed: bool) -> None:
        outcome = self.outcome
        if one.outcome == "added":
            outcome.added += 1
            outcome.kinds["reversal" if entry.reverses else entry.kind] += 1
        elif one.outcome == "known":
            outcome.known += 1
        elif reversed:
            what = f"Entry {entry.reverses} is taken back already, by entry {one.id}, which says something else."
            outcome.taken += 1
            outcome.fault(Fault(line, "reverses", what, "Reverse that entry, or leave the row out."))
        else:
            what = f"The reference belongs to entry {one.id}, which says something else."
            outcome.taken += 1
            outcome.fault(Fault(line, "reference", what, "Give the row a reference of its own, or reverse that entry."))

    async def _posted(self, scope: Scope, entries: Sequence[Entry]) -> list[Posted]:
        ids = [next(self._ids) for _ in entries]
        portions = await self._apart(_prepared, entries, ids, self._dialect)
        return await post(scope, entries, ids, portions, self._now)

    async def _there(self, scope: Scope, entries: Sequence[Entry]) -> dict[int, Posted]:
        """Return what is the organisation's own, and comes back from an export by its number."""
        named = {
            place: int(found[1])
            for place, entry in enumerate(entries)
            if (found := _EXPORTED.fullmatch(entry.reference))
        }
        digests = await journal.unnamed(scope, sorted(set(named.values()))) if named else {}
        return {
            place: Posted(id, "known" if entries[place].digest() == digests[id] else "taken")
            for place, id in named.items()
            if id in digests
        }

    # What takes others back

    async def _take_back(self, scope: Scope) -> None:
        left = self._reader.backs
        await self._look_up(scope, left)
        for _ in range(_DEEPEST):
            ready, left = await self._apart(self._ready, left)
            if not ready:
                break
            for start in range(0, len(ready), self._portion):
                reading = await self._apart(self._opposites, ready[start : start + self._portion])
                await self._post(scope, reading)
        for line, _, other, _ in left:
            what = f"The row takes back entry {other}, which is neither in the file nor in your books."
            mend = "Export from an earlier day, so that the file has both. One sent again goes on where it ended."
            self.outcome.fault(Fault(line, "reverses", what, mend))

    async def _look_up(self, scope: Scope, backs: Sequence[Back]) -> None:
        """Find in the books what is taken back and is not in the file, which may be of some days only."""
        own = {id for _, id, _, _ in backs}
        missing = sorted({other for _, _, other, _ in backs} - self._rows.keys() - own)
        for start in range(0, len(missing), self._portion):
            for id, document in (await documents(scope, missing[start : start + self._portion])).items():
                self._rows[id] = (id, document)

    def _ready(self, backs: Sequence[Back]) -> tuple[list[tuple[Back, _Row]], list[Back]]:
        ready = [(back, _Row(*self._rows[back[2]])) for back in backs if back[2] in self._rows]
        return ready, [back for back in backs if back[2] not in self._rows]

    def _opposites(self, ready: Sequence[tuple[Back, _Row]]) -> Reading:
        """Return what rows say; of those that are not the opposite of what they take back, why they are not posted."""
        posted = [(back, row) for back, row in ready if row.id]
        reading = self._reader.back([(back, row.id) for back, row in posted])
        taken = {back[0]: (back, row) for back, row in posted}
        # Whoever takes back one of these is in vain as well, and is to be told why.
        made = Reading(faults=reading.faults, bad=reading.bad)
        for line, id, entry in zip(reading.lines, reading.ids, reading.entries, strict=True):
            back, row = taken[line]
            kind, account, against, amount, currency = row.document
            if _document(entry) == (kind, account, against, -amount, currency):
                made.entries.append(entry)
                made.lines.append(line)
                made.ids.append(id)
            else:
                what = f"The row takes back entry {back[2]}, and is not its opposite."
                mend = "Leave it as it was exported: the same accounts and currency, the amount with the other sign."
                made.faults.append(Fault(line, "reverses", what, mend))
                made.bad.append(id)
        for back, row in ready:
            if not row.id:
                what = f"The row takes back entry {back[2]} of the file, which was not posted."
                made.faults.append(Fault(back[0], "reverses", what, "Mend that row first."))
                made.bad.append(back[1])
        return made


def _document(entry: Entry) -> Document:
    done = entry.transaction
    assert done is not None
    return entry.kind, done.account, done.against, done.amount, done.currency


def _prepared(entries: Sequence[Entry], ids: Sequence[int], dialect: str) -> list[Any]:
    checked(entries)
    return prepared(entries, ids, dialect)
