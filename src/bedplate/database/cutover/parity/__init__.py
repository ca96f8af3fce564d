"""Whether two tables hold the same rows: counts and checksums from one snapshot, and each row that differs."""

from bedplate.database.cutover.parity.comparison import Comparison, compare
from bedplate.database.cutover.parity.report import Difference, Parity, Progress

__all__ = ["Comparison", "Difference", "Parity", "Progress", "compare"]
