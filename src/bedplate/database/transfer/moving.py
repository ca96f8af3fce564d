"""The work of a transfer, step by step: each in transactions of the target that also note that they are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bedplate.database.transfer.changes import Change
from bedplate.database.transfer.comparing import Compared, digest, repair
from bedplate.database.transfer.errors import DifferenceError, Misfit, TransferError
from bedplate.database.transfer.faults import Faults
from bedplate.database.transfer.mapping import Pair
from bedplate.database.transfer.postgresql_side import PostgresqlSide
from bedplate.database.transfer.report import Progress
from bedplate.database.transfer.sequences import carry_on
from bedplate.database.transfer.side import Key
from bedplate.database.transfer.sqlite_side import SqliteSide
from bedplate.database.transfer.state import Place, State

__all__ = ["Mover"]

AnySide = SqliteSide | PostgresqlSide
#: How often a table is compared and mended before it is given up.
_ATTEMPTS = 50


class _Undone(Exception):
    """Ends a transaction in which something did not fit."""


class Mover:
    """Moves the rows of paired tables; one run's work, and its counts."""

    def __init__(
        self,
        source: AnySide,
        target: AnySide,
        pairs: Sequence[Pair],
        state: State,
        *,
        size: int,
        most: int,
        numbers: Sequence[tuple[str, str]] = (),
        watch: Callable[[Progress], None],
    ) -> None:
        self._source = source
        self._target = target
        self._pairs = {pair.name: pair for pair in pairs}
        self._state = state
        self._size = size
        self._most = most
        self._numbers = numbers
        self._watch = watch
        #: Rows that this run has copied, and those that comparisons had it copy again.
        self.copied = 0
        self.mended = 0

    def copy(self) -> None:
        """Copy all rows that are not yet noted as copied.

        :raises FaultsError: when values do not fit; then all rows have been looked at, up to so many faults.
        """
        faults = Faults(self._most)
        for pair in self._pairs.values():
            place = self._state.place(pair.name)
            if not place.copied:
                self._copy(pair, place, faults)
            if faults.number >= self._most:
                break
        faults.check()

    def _copy(self, pair: Pair, place: Place, faults: Faults) -> None:
        total, seen = self._source.count(pair), place.rows
        self._watch(Progress("copy", pair.name, seen, total))
        if not pair.keys:
            self._copy_whole(pair, faults, total)
            return
        after = place.after
        for batch in self._source.scan(pair, faults, after=after, size=self._size):
            after, seen = batch.last, seen + len(batch.rows)
            # Once something does not fit, the rest is only looked at, so that one run tells all of it.
            self._write(pair, [line for _, line in batch.rows], faults, Place(after, seen, copied=False))
            self._watch(Progress("copy", pair.name, seen, total))
            if faults.number >= self._most:
                return
        self._write(pair, [], faults, Place(after, seen, copied=True))

    def _write(self, pair: Pair, lines: Sequence[bytes], faults: Faults, reached: Place) -> None:
        try:
            with self._target.transaction():
                self._state.hold()
                if lines:
                    self._target.insert(pair, lines, faults)
                if faults.number:
                    raise _Undone
                self._state.reached(pair.name, reached)
            self.copied += len(lines)
        except _Undone:
            pass

    def _copy_whole(self, pair: Pair, faults: Faults, total: int) -> None:
        """Copy a table without a key, in which nothing tells where to go on: in one transaction."""
        seen = 0
        try:
            with self._target.transaction():
                self._state.hold()
                for batch in self._source.scan(pair, faults, size=self._size):
                    self._target.insert(pair, [line for _, line in batch.rows], faults)
                    seen += len(batch.rows)
                    self._watch(Progress("copy", pair.name, seen, total))
                if faults.number:
                    raise _Undone
                self._state.reached(pair.name, Place(None, seen, copied=True))
            self.copied += seen
        except _Undone:
            pass

    def look(self) -> dict[str, int]:
        """Look at all values and write nothing; return the rows of each table.

        :raises FaultsError: when some do not fit.
        """
        faults, found = Faults(self._most), {}
        for pair in self._pairs.values():
            found[pair.name] = total = self._source.count(pair)
            seen = 0
            for lines in self._source.read(pair, faults, size=self._size):
                seen += len(lines)
                self._target.try_lines(pair, lines, faults)
                self._watch(Progress("look", pair.name, seen, total))
        faults.check()
        return found

    def apply(self, changes: Iterable[Change]) -> None:
        """Bring written rows to what they are in the source now."""
        keys: defaultdict[str, set[Any]] = defaultdict(set)
        for change in changes:
            keys[change.table].add(change.key)
        for name, some in keys.items():
            if name in self._pairs:
                self._apply(self._pairs[name], some)

    def _apply(self, pair: Pair, keys: set[Any]) -> None:
        if None in keys:
            # It was emptied: nothing tells which rows there were.
            self.compare(pair)
            return
        self._watch(Progress("changes", pair.name, 0, len(keys)))
        faults = Faults(self._most)
        lines = self._source.get(pair, keys, faults)
        faults.check()
        with self._target.transaction():
            self._state.hold()
            # All go before any comes, so that rows may exchange what is unique.
            self._target.delete(pair, self._canonical(pair, keys) | lines.keys())
            self._target.insert(pair, list(lines.values()), faults)
            faults.check()

    def level(self, emptied: set[str], log: Callable[[], Iterator[tuple[str, list[Key]]]]) -> int:
        """Bring rows that a log names to what they are in the source, which stands still; compare them one by one.

        Batch by batch, however long the log is, and in one transaction: first all go and then all come, so that rows
        may exchange what is unique.

        :param emptied: tables of which nobody knows which rows they had: they are compared as a whole.
        :param log: returns the keys by table, each key once, and the same ones again.
        :return: how many rows were compared. :raises DifferenceError: when one differs.
        """
        for name in sorted(emptied & self._pairs.keys()):
            self.compare(self._pairs[name])
        number = 0
        with self._target.transaction():
            self._state.hold()
            for pair, keys in self._logged(emptied, log):
                self._target.delete(pair, self._canonical(pair, keys))
            otherwise: defaultdict[str, dict[bytes, bytes]] = defaultdict(dict)
            for pair, keys in self._logged(emptied, log):
                number += self._brought(pair, keys, otherwise[pair.name])
                self._watch(Progress("changes", pair.name, number, number))
            for name, lines in otherwise.items():
                self._left(self._pairs[name], lines)
        return number

    def _logged(
        self, emptied: set[str], log: Callable[[], Iterator[tuple[str, list[Key]]]]
    ) -> Iterator[tuple[Pair, list[Key]]]:
        return ((self._pairs[name], keys) for name, keys in log() if name in self._pairs and name not in emptied)

    def _brought(self, pair: Pair, keys: list[Key], otherwise: dict[bytes, bytes]) -> int:
        """Bring a batch of rows; those that are found by keys that are written otherwise are noted instead.

        Where upper and lower case are one, as with NOCASE, a row is found by what its key was before as well.
        """
        faults = Faults(self._most)
        found = self._source.get(pair, keys, faults)
        faults.check()
        wanted = self._canonical(pair, keys)
        lines = {key: line for key, line in found.items() if key in wanted}
        otherwise |= {key: line for key, line in found.items() if key not in wanted}
        self._target.insert(pair, list(lines.values()), faults)
        faults.check()
        self._same(pair, lines, wanted)
        return len(wanted)

    def _left(self, pair: Pair, lines: dict[bytes, bytes]) -> None:
        """Bring of some rows those that have not come by their own keys."""
        faults = Faults(self._most)
        there = self._target.get(pair, [self._target.native(pair, key) for key in lines], faults)
        self._target.insert(pair, [line for key, line in lines.items() if key not in there], faults)
        faults.check()
        self._same(pair, lines, lines)

    def _same(self, pair: Pair, lines: dict[bytes, bytes], keys: Iterable[bytes]) -> None:
        present = self._target.get(pair, [self._target.native(pair, key) for key in keys], Faults(self._most))
        if lines != present:
            raise DifferenceError(f"Rows of {pair.name} differ after they were copied.", "Run it again, and report it.")

    def _canonical(self, pair: Pair, keys: Iterable[Any]) -> set[bytes]:
        found = set()
        for key in keys:
            # A row that is gone, and never fitted, was never copied.
            with suppress(Misfit):
                found.add(self._source.canonical(pair, key))
        return found

    def counts(self, pair: Pair) -> tuple[int, int]:
        """Return how many rows both sides have."""
        return self._source.count(pair), self._target.count(pair)

    def compare(self, pair: Pair, *, mend: bool = True) -> Compared:
        """Compare all rows of a table, while the source stands still; copy again what differs.

        :raises DifferenceError: when it does not come out equal.
        """
        before = None
        for _ in range(_ATTEMPTS):
            self._watch(Progress("compare", pair.name))
            faults = Faults(self._most)
            mine = digest(self._source.read(pair, faults, size=self._size), pair.keys)
            faults.check()
            its = digest(self._target.read(pair, faults, size=self._size), pair.keys)
            differing = len(mine.differing(its))
            compared = Compared(pair.name, (mine.rows, its.rows), (mine.checksum, its.checksum))
            if not differing or not mend:
                return compared
            if before is not None and differing >= before:
                break
            before = differing
            with self._target.transaction():
                self._state.hold()
                gone, added = repair(self._source, self._target, pair, mine, its, faults, self._size)
                faults.check()
            self.mended += max(gone, added)
        raise DifferenceError(
            f"{pair.name} is not the same on both sides, and copying again does not mend it.", "Report it."
        )

    def bring_back(self) -> None:
        """Make the indexes and unique constraints that were set aside, each in a transaction.

        :raises TransferError: when the rows do not allow it.
        """
        while statements := self._state.read().early:
            self._watch(Progress("index"))
            with self._target.transaction():
                self._state.hold()
                self._again(statements[0])
                self._state.set(early=statements[1:])

    def end(self, report: Mapping[str, Any]) -> None:
        """Bring back foreign keys and triggers, let sequences go on, and note that it is finished: all or nothing.

        Halfway there the next run would load rows before foreign keys that act on others.

        :raises TransferError: when the rows do not allow it.
        """
        self._watch(Progress("last"))
        with self._target.transaction():
            self._state.hold()
            for statement in self._state.read().late:
                self._again(statement)
            self.numbers()
            self._state.set(state="finished", late=(), report=report)
            self._watch(Progress("last"))

    def _again(self, statement: str) -> None:
        try:
            self._target.execute(statement)
        except Exception as error:
            # What the driver says further would show values.
            said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
            raise TransferError(
                f"The target refuses {statement}: {' '.join(said.split())[:300]}.",
                "Mend the rows in the source and run the same again, or, for a rule that the source does not keep, "
                "leave the table out with --skip.",
            ) from None

    def numbers(self) -> None:
        """Let sequences go on where the source's would; in the present transaction."""
        for pair in self._pairs.values():
            for column in pair.target.stored:
                if column.counted:
                    last = self._source.last_number(pair, column.name)
                    self._target.set_last_number(pair, column.name, last)
        carry_on(self._source, self._target, self._numbers)
