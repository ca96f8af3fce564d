"""Where samples come from: what an evaluation asks of a ring, of a rule test's series, of whoever keeps samples.

Samples are laid out time-major: a row a moment, a column a series. A service samples all its series at once, so one
array of times serves thousands of them, and numpy works along rows that lie together in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bedplate.promql.nodes import Matcher

__all__ = ["MISSING", "STALE", "Labels", "Source", "Window", "is_sample"]

#: Sorted pairs of label and value, ``__name__`` among them.
Labels = tuple[tuple[str, str], ...]

_STALE_BITS = 0x7FF0000000000002  # Prometheus' own staleness marker
_MISSING_BITS = 0x7FFC0000000BED01  # ours, never stored by Prometheus: no sample here, and nothing said about it

#: The series ended here: an instant selector no longer looks back beyond this.
STALE: float = float(np.uint64(_STALE_BITS).view(np.float64))
#: There is no sample of this series at this moment; an instant selector looks further back.
MISSING: float = float(np.uint64(_MISSING_BITS).view(np.float64))


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of some series in a stretch of time.

    :ivar labels: one a column. :ivar times: Unix milliseconds, ascending, one a row.
    :ivar values: ``len(times)`` × ``len(labels)``; cells without a sample hold :data:`MISSING` or :data:`STALE`, which
        are NaN of special bits: compare bits, not values, and use :func:`is_sample`. Never written to by readers.
    """

    labels: Sequence[Labels]
    times: NDArray[np.int64]
    values: NDArray[np.float64]


class Source(Protocol):
    """Whoever keeps samples."""

    def window(self, name: str, matchers: Sequence[Matcher], start: int, end: int) -> Window:
        """Return all samples of the series that match, from ``start`` to ``end`` Unix milliseconds, both included.

        :param name: the metric's name, empty when any will do. :param matchers: further conditions.
        """
        ...


def is_sample(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return where there are samples; a NaN that somebody measured is one."""
    bits = values.view(np.uint64)
    return np.asarray((bits != np.uint64(_STALE_BITS)) & (bits != np.uint64(_MISSING_BITS)))
