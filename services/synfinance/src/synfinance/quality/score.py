"""From findings to points.

A column starts at 100 and every finding multiplies it by 1 − loss:

    column  = 100 · Π (1 − loss)                    over the findings of the column
    file    = mean of the columns · Π (1 − loss)    over the findings of rows

More of a fault never raises a score, because each loss grows with the share of bad values. The points lost are shared
out among the findings by −ln(1 − loss), the only division that does not depend on their order, so that they add up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from synfinance.quality.report import Finding

_TOTAL: Final = 1.0 - 1e-12
"""A loss of everything is counted as this much, so that its logarithm exists."""


def settle(findings: Sequence[Finding], start: float = 100.0) -> tuple[float, tuple[Finding, ...]]:
    """Apply findings to a score: what is left of ``start``, and the findings with their ``points``, worst first."""
    kept = start * math.prod(1.0 - finding.loss for finding in findings)
    burdens = [-math.log1p(-min(finding.loss, _TOTAL)) for finding in findings]
    total = sum(burdens)
    settled = [
        replace(finding, points=(start - kept) * burden / total if total else 0.0)
        for finding, burden in zip(findings, burdens, strict=True)
    ]
    return kept, tuple(sorted(settled, key=lambda f: (f.severity.rank, -f.points, -f.count)))
