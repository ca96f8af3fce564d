"""What counts operations: the cells of each, bound when it is first used."""

from __future__ import annotations

from bedplate.component import BoundCounter, Host
from bedplate.metric import Counter, Histogram

__all__ = ["Meters", "OperationMeter"]


class OperationMeter:
    """Counts one operation. Replies are counted in groups that came together, and one of each group is timed."""

    __slots__ = ("_cells", "_done", "_host", "_name", "_observe", "_operations")

    def __init__(self, host: Host, operations: Counter, duration: Histogram, name: str) -> None:
        self._host, self._operations, self._name = host, operations, name
        self._cells: dict[str, BoundCounter] = {}
        self._done = host.bind(operations, operation=name, outcome="ok").inc
        self._observe = host.bind(duration, operation=name).observe

    def answered(self, count: int, seconds: float) -> None:
        """Count replies that came together; ``seconds`` is the time of the one that waited longest."""
        self._done(count)
        self._observe(seconds)

    def count(self, outcome: str, count: int = 1) -> None:
        """Count operations that ended otherwise."""
        cell = self._cells.get(outcome)
        if cell is None:
            cell = self._cells[outcome] = self._host.bind(self._operations, operation=self._name, outcome=outcome)
        cell.inc(count)


class Meters:
    """The meters of a store's operations.

    :param operations: the counter, narrowed to the store. :param duration: the histogram, likewise.
    """

    def __init__(self, host: Host, operations: Counter, duration: Histogram) -> None:
        self._host, self._operations, self._duration = host, operations, duration
        self._known: dict[str, OperationMeter] = {}

    def operation(self, name: str) -> OperationMeter:
        """Return the meter of an operation."""
        meter = self._known.get(name)
        if meter is None:
            meter = self._known[name] = OperationMeter(self._host, self._operations, self._duration, name)
        return meter
