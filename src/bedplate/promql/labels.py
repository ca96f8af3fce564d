"""Labels of results: what is dropped, kept and copied, and what happens when two series come to have the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from bedplate.promql.plan import Floats, Frame, Groups, Mask, Memo, Site, Steps, grouped
from bedplate.promql.source import Labels

__all__ = ["Relabelled", "by", "merged", "nameless", "without"]


def nameless(labels: Labels) -> Labels:
    """Return labels without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != "__name__")


def by(names: Iterable[str]) -> Callable[[Labels], Labels]:
    """Return what keeps only these labels."""
    kept = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] in kept)


def without(names: Iterable[str]) -> Callable[[Labels], Labels]:
    """Return what drops these labels."""
    dropped = frozenset(names)
    return lambda labels: tuple(pair for pair in labels if pair[0] not in dropped)


class Relabelled:
    """Other labels for every column of a table; those that become equal are one column.

    :param change: what becomes of labels. :param site: where it is refused that two of one moment become one.
    :param what: what is wrong then. :param mend: what to do about it.
    """

    def __init__(
        self,
        change: Callable[[Labels], Labels],
        site: Site,
        what: str = "Several series come to have the same labels",
        mend: str = "Aggregate them first, as in sum by (…) (…), or select fewer.",
    ) -> None:
        self._site, self._what, self._mend = site, what, mend
        self._groups = Memo(lambda labels: grouped(labels, change))

    def over(self, frame: Frame) -> Steps[Frame]:
        """Return the table with other labels."""
        groups = yield from self._groups.of(frame.labels)
        return merged(frame.values, frame.present, groups, self._site, self._what, self._mend)


def merged(values: Floats, present: Mask | None, groups: Groups, site: Site, what: str, mend: str) -> Frame:
    """Return a table with a column a group, of which only one column may have a value at a moment.

    :raises EvaluationError: when two have.
    """
    if groups.distinct:
        return Frame(groups.labels, values, present)
    if not len(values):
        return Frame(groups.labels, np.empty((0, len(groups.labels))), None)
    mask = np.ones(values.shape, dtype=bool) if present is None else present
    arranged = mask[:, groups.order]
    counts = np.add.reduceat(arranged, groups.starts, axis=1, dtype=np.int64)
    if (counts > 1).any():
        worst = int(np.argmax(counts.max(axis=0)))
        shown = ", ".join(f'{label}="{value}"' for label, value in groups.labels[worst])
        raise site.fault(f"{what}: {{{shown}}}.", mend)
    place = np.maximum.reduceat(np.where(arranged, groups.order, -1), groups.starts, axis=1)
    return Frame(groups.labels, np.take_along_axis(values, np.maximum(place, 0), axis=1), place >= 0)
